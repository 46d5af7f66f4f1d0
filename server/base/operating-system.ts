import { release, type } from 'node:os'

/** The name and release of the operating system, such as `Linux 6.1.0`. */
export const operatingSystem = (): string => `${type()} ${release()}`
