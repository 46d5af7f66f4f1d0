/** One instruction, with its flags and its words: those of a JSON list, else those between blanks; a command for a shell is one word. */
export interface Instruction {
  readonly keyword: string
  readonly flags: Readonly<Record<string, string>>
  readonly words: readonly string[]
}

/** The instructions from one FROM to the next. */
export interface Stage {
  readonly base: string
  readonly name: string | undefined
  readonly instructions: readonly Instruction[]
}

/** Reads a Dockerfile, as far as ours go: no heredocs, variables or parser directives. */
export const readDockerfile = (text: string): readonly Stage[] => {
  const stages: { base: string; name: string | undefined; instructions: Instruction[] }[] = []
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
  for (const line of lines.filter((each) => each.trim() !== '')) {
    const instruction = readInstruction(line.trim())
    const [base = '', , name] = instruction.words
    if (instruction.keyword === 'FROM') stages.push({ base, name, instructions: [] })
    else stages.at(-1)?.instructions.push(instruction)
  }
  return stages
}

const readInstruction = (line: string): Instruction => {
  const [, keyword = '', allFlags = '', rest = ''] = /^([A-Z]+)((?: +--[a-z-]+=\S+)*) +(.*)$/.exec(line) ?? []
  const flags: Record<string, string> = {}
  for (const [, name = '', value = ''] of allFlags.matchAll(/--([a-z-]+)=(\S+)/g)) flags[name] = value
  const list = /^(?:CMD )?(\[.*\])$/.exec(rest)?.[1]
  const words = list !== undefined ? (JSON.parse(list) as string[]) : keyword === 'RUN' ? [rest] : rest.split(/ +/)
  return { keyword, flags, words }
}

/** The words of the one instruction of this keyword; throws when there are more, or none. */
export const only = (stage: Stage | undefined, keyword: string): Instruction => {
  const [found, ...more] = stage?.instructions.filter((each) => each.keyword === keyword) ?? []
  if (found === undefined || more.length > 0) throw new Error(`${keyword}: one was expected`)
  return found
}

/** Whether a path of the context stays behind, by the lines of a .dockerignore: the last one that matches it or a folder above it decides. */
export const readDockerignore = (text: string): ((path: string) => boolean) => {
  const rules = text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => ({ ignores: !line.startsWith('!'), matches: patternOf(line.replace(/^!/, '')) }))
  return (path) => rules.reduce((ignored, { ignores, matches }) => (matches.test(path) ? ignores : ignored), false)
}

const patternOf = (pattern: string): RegExp => {
  const source = pattern
    .split(/(\*\*\/|\*)/)
    .map((part) => (part === '**/' ? '(?:.*/)?' : part === '*' ? '[^/]*' : part.replace(/[.+^${}()|[\]\\]/g, '\\$&')))
    .join('')
  return new RegExp(`^${source}(?:/.*)?$`)
}
