/**
 * A log record's bytes, as they are packed by the main thread, carried to the writer and stored, little endian:
 *
 *     f64 atMs | u16 count | count × (u32 owner, u32 peer, u8 flags) | the stanza's bytes
 *
 * Owner and peer are references into the batch's dictionary on the way, and rows of `names` once stored.
 */
export const RECORD_HEADER_BYTES = 10
export const PLACE_BYTES = 9

export const FLAG_PENDING = 1
export const FLAG_INCOMING = 2
/** Only in memory: the entry was removed after it entered the tail. */
export const FLAG_REMOVED = 4
export const FLAG_TRANSIENT = 8
/** The same at every place of a record. */
export const FLAG_TEXT = 16

export interface StoredPlace {
  readonly owner: number
  readonly peer: number
  readonly flags: number
}

export const atOf = (record: Buffer): number => record.readDoubleLE(0)

export const placeCountOf = (record: Buffer): number => record.readUInt16LE(8)

export const headerBytesOf = (placeCount: number): number => RECORD_HEADER_BYTES + placeCount * PLACE_BYTES

export const placeOf = (record: Buffer, index: number): StoredPlace => {
  const at = headerBytesOf(index)
  return { owner: record.readUInt32LE(at), peer: record.readUInt32LE(at + 4), flags: record.readUInt8(at + 8) }
}

/** The owners of all places. */
export const ownersOf = (record: Buffer): number[] =>
  Array.from({ length: placeCountOf(record) }, (_, index) => placeOf(record, index).owner)

/** Where in a record an owner's place is, -1 when it has none. */
export const indexOfOwner = (record: Buffer, owner: number): number => {
  for (let index = 0; index < placeCountOf(record); index += 1) {
    if (record.readUInt32LE(headerBytesOf(index)) === owner) return index
  }
  return -1
}

export const stanzaOf = (record: Buffer): string => record.toString('latin1', headerBytesOf(placeCountOf(record)))

/** The record without one of its places. */
export const withoutPlace = (record: Buffer, index: number): Buffer => {
  const at = headerBytesOf(index)
  const rest = Buffer.concat([record.subarray(0, at), record.subarray(at + PLACE_BYTES)])
  rest.writeUInt16LE(placeCountOf(record) - 1, 8)
  return rest
}

/** The record with another stanza. */
export const withStanza = (record: Buffer, stanza: string): Buffer =>
  Buffer.concat([record.subarray(0, headerBytesOf(placeCountOf(record))), Buffer.from(stanza, 'latin1')])
