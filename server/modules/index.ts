import type { Module } from '#server/core/module.ts'
import { ping } from './ping.ts'
import { registration } from './registration.ts'

/** Every module of the server: one import and one line each. */
export const modules: readonly Module[] = [ping, registration]
