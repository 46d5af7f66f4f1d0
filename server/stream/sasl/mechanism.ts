import type { Mechanism } from './exchange.ts'
import { plain } from './plain.ts'
import { scram } from './scram.ts'

export type { FastEnvironment, Mechanism, SaslEnvironment, SaslExchange, SaslFailure, SaslOutcome } from './exchange.ts'

/** Every mechanism, strongest first: what binds to the channel goes before what has the longer hash. */
export const mechanisms: readonly Mechanism[] = [
  scram('SHA-512', true),
  scram('SHA-256', true),
  scram('SHA-1', true),
  scram('SHA-512', false),
  scram('SHA-256', false),
  scram('SHA-1', false),
  plain,
]

const byName: ReadonlyMap<string, Mechanism> = new Map(mechanisms.map((mechanism) => [mechanism.name, mechanism]))

/** Finds a mechanism by the name a client gives (RFC 4422 §3.1: names are case-sensitive). */
export const findMechanism = (name: string): Mechanism | undefined => byName.get(name)
