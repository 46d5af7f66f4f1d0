import bcrypt from 'bcrypt'

/** Compares a password with a bcrypt hash in the thread pool; a hash that is none matches nothing. */
export const bcryptMatches = (password: string, hash: string): Promise<boolean> => bcrypt.compare(password, hash)
