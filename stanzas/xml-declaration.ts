import { malformed, restricted, XmlError } from './xml-error.ts'

/** A declaration has room for a version, an encoding and `standalone`; nobody needs more. */
const MAX_BYTES = 256
/** What nearly everybody writes, which need not be taken apart. */
const USUAL = [`<?xml version='1.0'?>`, `<?xml version="1.0"?>`]
const S = '[ \\t\\r\\n]'
const EQ = `${S}*=${S}*`
const DECLARATION = new RegExp(
  `^<\\?xml${S}+version${EQ}(?:'1\\.[0-9]+'|"1\\.[0-9]+")(?:${S}+encoding${EQ}(?:'([^']*)'|"([^"]*)"))?(?:${S}+standalone${EQ}(?:'(?:yes|no)'|"(?:yes|no)"))?${S}*\\?>$`,
)

/** Reads an XML declaration (XML 1.0 §2.8) from its `<`; returns the offset behind it, -1 when the bytes end first. */
export const readXmlDeclaration = (bytes: Buffer, start: number, end: number): number => {
  const known = bytes.toString('latin1', start, Math.min(end, start + MAX_BYTES))
  for (const usual of USUAL) if (known.startsWith(usual)) return start + usual.length
  const target = '<?xml'
  if (!known.startsWith(target.slice(0, known.length))) restricted('processing instructions are not allowed')
  if (known.length > target.length && !/^<\?xml[ \t\r\n]/.test(known)) restricted('processing instructions are not allowed')
  const close = known.indexOf('?>')
  if (close === -1) return known.length < MAX_BYTES ? -1 : malformed('the XML declaration is too long')

  const declaration = DECLARATION.exec(known.slice(0, close + 2))
  if (declaration === null) malformed('the XML declaration is wrong')
  const encoding = declaration?.[1] ?? declaration?.[2]
  // RFC 6120 §11.6: XMPP is UTF-8.
  if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') throw new XmlError('unsupported-encoding', 'XMPP is UTF-8')
  return start + close + 2
}
