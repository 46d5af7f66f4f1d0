import type { Chance } from './chance.ts'
import { corpus } from './corpus.ts'

type Steps = Buffer[]
type Mutation = (steps: Steps, chance: Chance) => void

const INTRUDERS: readonly [string, ...string[]] = [
  '<!DOCTYPE x>',
  "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;'>]>&lol2;",
  "<!DOCTYPE r SYSTEM 'file:///etc/passwd'>",
  '<!-- a comment -->',
  '<?php phpinfo() ?>',
  "<?xml version='1.0' encoding='UTF-16'?>",
  '<![CDATA[ </message><presence/> ]]>',
  ']]>',
  '&unknown;',
  '&#0;',
  '&#xFFFFFFFF;',
  '&#55296;',
  '&lt',
  '<q:x/>',
  "<x xmlns:xml='urn:x'/>",
  "<x xmlns:xmlns='urn:x'/>",
  "<x a='1' a='2'/>",
  "<x xmlns:a='u' xmlns:b='u' a:c='1' b:c='2'/>",
  "<x xmlns=''/>",
  "<x xmlns:p=''/>",
  "<message xmlns='jabber:server'/>",
  "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
  "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
  '</stream:stream>',
  '</message>',
  '\u0000',
  '\u000b',
  '\ufeff',
  '\uffff',
  'words between elements',
]

/** Bytes that are no UTF-8: cut, overlong, a surrogate, beyond Unicode, UTF-16 marks. */
const BAD_UTF8: readonly [string, ...string[]] = [
  'c3',
  '80',
  'c080',
  'e08080',
  'eda080',
  'f4908080',
  'f8888080',
  'fffe',
  'feff',
  'f09f98',
]

const VALUES: readonly [string, ...string[]] = [
  '',
  ' ',
  '@',
  '/',
  'a@',
  '@b',
  'a@b@c',
  'localhost/',
  'localhost/\u202e',
  'fuzz1@localhost/desk',
  'FUZZ2@LOCALHOST',
  'ﬀuzz@localhost',
  '-1',
  '4294967295',
  '4294967296',
  '99999999999999999999',
  '1e309',
  '0x10',
  'true',
  '__proto__',
  'constructor',
  'result',
  'error',
  '\u00ad',
  '𝄞'.repeat(300),
  '&#x9;&#xA;&#xD;',
  '&lt;&amp;&quot;&apos;',
]

const pick = (steps: Steps, chance: Chance): number => chance.below(steps.length)

/** Replaces a step by what the change makes of it. */
const rewrite = (steps: Steps, at: number, change: (bytes: Buffer) => Buffer): void => {
  steps[at] = change(steps[at] ?? Buffer.alloc(0))
}

const insert = (bytes: Buffer, at: number, what: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), what, bytes.subarray(at)])

/** A place behind the end of some tag. */
const behindTag = (bytes: Buffer, chance: Chance): number => {
  const found = bytes.indexOf('>', chance.below(bytes.length + 1))
  return found < 0 ? bytes.length : found + 1
}

const flipBytes: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) => {
    const copy = Buffer.from(bytes)
    for (let left = 1 + chance.skewed(8); left > 0 && copy.length > 0; left--) {
      const at = chance.below(copy.length)
      copy[at] = chance.once(2) ? chance.below(256) : (copy[at] ?? 0) ^ (1 << chance.below(8))
    }
    return copy
  })

const truncate: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) => bytes.subarray(0, chance.below(bytes.length + 1)))

const cutOut: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) => {
    const from = chance.below(bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + chance.skewed(40))])
  })

const duplicate: Mutation = (steps, chance) => {
  const step = steps[pick(steps, chance)]
  if (step !== undefined) for (let left = 1 + chance.skewed(30); left > 0; left--) steps.splice(pick(steps, chance), 0, step)
}

const reorder: Mutation = (steps, chance) => {
  const [step] = steps.splice(pick(steps, chance), 1)
  if (step !== undefined) steps.splice(chance.below(steps.length + 1), 0, step)
}

const drop: Mutation = (steps, chance) => {
  if (steps.length > 1) steps.splice(pick(steps, chance), 1)
}

const splice: Mutation = (steps, chance) => {
  const { steps: others } = chance.oneOf(corpus)
  const other = others[chance.below(others.length)] ?? ''
  if (chance.once(2)) steps.splice(chance.below(steps.length + 1), 0, Buffer.from(other))
  else rewrite(steps, pick(steps, chance), (bytes) => insert(bytes, behindTag(bytes, chance), Buffer.from(other)))
}

const intrude: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) =>
    insert(
      bytes,
      chance.once(4) ? chance.below(bytes.length + 1) : behindTag(bytes, chance),
      Buffer.from(chance.oneOf(INTRUDERS)),
    ),
  )

const spoilUtf8: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) =>
    insert(bytes, chance.below(bytes.length + 1), Buffer.from(chance.oneOf(BAD_UTF8), 'hex')),
  )

const nest: Mutation = (steps, chance) => {
  const depth = 1 + chance.skewed(5_000)
  const closed = chance.once(2) ? '</x>'.repeat(depth) : ''
  rewrite(steps, pick(steps, chance), (bytes) =>
    insert(bytes, behindTag(bytes, chance), Buffer.from('<x>'.repeat(depth) + closed)),
  )
}

const inflate: Mutation = (steps, chance) => {
  const size = 1 + chance.skewed(400_000)
  const text = chance.oneOf(['a', '&amp;', ' ', '☃', '&#x41;']).repeat(Math.ceil(size / 5))
  rewrite(steps, pick(steps, chance), (bytes) => {
    const quote = bytes.indexOf("='", chance.below(bytes.length + 1))
    return chance.once(2) && quote >= 0
      ? insert(bytes, quote + 2, Buffer.from(text))
      : insert(bytes, behindTag(bytes, chance), Buffer.from(text))
  })
}

const crowd: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) => {
    const space = bytes.indexOf(' ')
    const many = Array.from({ length: 1 + chance.skewed(400) }, (_, i) =>
      chance.once(3) ? ` xmlns:p${i}='u${i}'` : ` a${i}='${i}'`,
    )
    return space < 0 ? bytes : insert(bytes, space, Buffer.from(many.join('')))
  })

const revalue: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) => {
    const start = bytes.indexOf("='", chance.below(bytes.length + 1))
    const end = start < 0 ? -1 : bytes.indexOf("'", start + 2)
    if (end < 0) return bytes
    return Buffer.concat([bytes.subarray(0, start + 2), Buffer.from(chance.oneOf(VALUES)), bytes.subarray(end)])
  })

const NAMES: readonly [string, ...string[]] = [
  'message',
  'presence',
  'iq',
  'type',
  'to',
  'from',
  'id',
  'xmlns',
  'query',
  'set',
  'get',
  'chat',
]

const rename: Mutation = (steps, chance) =>
  rewrite(steps, pick(steps, chance), (bytes) =>
    Buffer.from(bytes.toString('latin1').replaceAll(chance.oneOf(NAMES), chance.oneOf(NAMES)), 'latin1'),
  )

const blank: Mutation = (steps, chance) => {
  steps.splice(chance.below(steps.length + 1), 0, Buffer.from(chance.oneOf([' ', '\n', '\r\n\t', ' '.repeat(5_000)])))
}

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  flipBytes,
  flipBytes,
  flipBytes,
  truncate,
  cutOut,
  cutOut,
  duplicate,
  reorder,
  drop,
  splice,
  splice,
  intrude,
  intrude,
  spoilUtf8,
  nest,
  inflate,
  crowd,
  revalue,
  revalue,
  rename,
  blank,
]

/** A dialogue with one to four things wrong; now and then nothing is. */
export const mutate = (steps: readonly string[], chance: Chance): readonly Buffer[] => {
  const mutated = steps.map((step) => Buffer.from(step))
  if (chance.once(20)) return mutated
  for (let left = 1 + chance.skewed(4); left > 0; left--) chance.oneOf(MUTATIONS)(mutated, chance)
  return mutated
}
