import { NS_CLIENT } from '#stanzas/namespaces.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'

/** Scripts that put no space between words: each character counts as one. */
const UNSPACED = '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}'
const WORD = new RegExp(`[${UNSPACED}]\\p{M}*|(?:(?![${UNSPACED}])[\\p{L}\\p{N}\\p{M}])+`, 'gu')
/** Longer ones are no words; what they begin with is found. In UTF-16 units. */
const MOST_UNITS = 64

/** The words of a text, each once, in the form in which they are compared. */
export const wordsOf = (text: string): readonly string[] => {
  const words = new Set<string>()
  // Lower case may be longer, and may be composed again: `İ` is two characters, in one of which a dot stands alone.
  for (const [word] of text.normalize('NFKC').toLowerCase().normalize('NFKC').matchAll(WORD)) words.add(cut(word))
  return [...words]
}

const cut = (word: string): string => {
  if (word.length <= MOST_UNITS) return word
  const end = word.charCodeAt(MOST_UNITS - 1)
  return word.slice(0, end >= 0xd800 && end <= 0xdbff ? MOST_UNITS - 1 : MOST_UNITS)
}

/** Of what is searched for, so many words count. */
const MOST_BEGINNINGS = 32

/** What the words of a text must begin with to be found. */
export const beginningsOf = (text: string): readonly string[] => wordsOf(text).slice(0, MOST_BEGINNINGS)

/** Of a stanza's text, so much is looked at: 256 KiB would cost a seventeenth of a second each time. In UTF-16 units. */
const MOST_TEXT = 10_000

/** The words of a stanza's bodies, in all its languages, as far as they are looked at; what is no stanza has none. */
export const wordsOfStanza = (stanza: Wire): readonly string[] => {
  if (!stanza.includes('body')) return []
  try {
    return wordsOf(
      parseStanza(stanza)
        .elements()
        .filter(({ name, ns }) => name === 'body' && ns === NS_CLIENT)
        .map((body) => body.text())
        .join('\n')
        .slice(0, MOST_TEXT),
    )
  } catch {
    return []
  }
}
