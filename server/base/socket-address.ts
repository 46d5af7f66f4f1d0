import { relative } from 'node:path'

/** The space for a path in a Unix socket address, on the system that has the least. */
const MAX_BYTES = 103

/** A socket's path as it fits into an address: from the folder that the process runs in, if that is shorter. */
export const socketAddress = (path: string): string => {
  const near = relative(process.cwd(), path)
  const shorter = Buffer.byteLength(near) < Buffer.byteLength(path) ? near : path
  if (Buffer.byteLength(shorter) > MAX_BYTES)
    throw new Error(`the path ${path} is too long for a socket; choose a shorter data folder`)
  return shorter
}
