import type { Timer } from '#server/base/clock.ts'
import { newId } from '#server/base/random.ts'
import { defineModule, type IqRequest, onSet } from '#server/core/module.ts'
import { type DataForm, formElement, readForm } from '#stanzas/data-form.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, bareOf, type Jid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS } from '#stanzas/namespaces.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { disco } from './disco.ts'

const NS_COMMANDS = 'http://jabber.org/protocol/commands'

/** Long enough to fill in a form and to look something up meanwhile. */
const STAGE_TIMEOUT_MS = 600_000
/** Executions of one account that may be under way; a further one ends the oldest. */
const MAX_PER_ACCOUNT = 8

/** What a command shows next: a form to fill in, or its outcome. */
export type Stage =
  | {
      readonly kind: 'form'
      readonly form: DataForm
      /** Whether submitting it completes the command. */
      readonly isLast: boolean
      /** Goes on with what was submitted; refuses it with `badPayload`, and the form may be submitted again. */
      readonly submit: (form: DataForm) => Stage | Promise<Stage>
    }
  | { readonly kind: 'done'; readonly form?: DataForm; readonly note?: Note }

/** A remark for the person at the client (XEP-0050 §4.3). */
export interface Note {
  readonly type: 'info' | 'warn' | 'error'
  readonly text: string
}

/** A command of the server's. */
export interface Command {
  readonly node: string
  readonly name: string
  /** Who may execute it, and see that it is there. */
  readonly isAllowed: (account: BareJid) => boolean
  readonly run: (asker: Address) => Stage | Promise<Stage>
}

/** What modules may do with commands. */
export interface CommandsApi {
  /** Adds a command. */
  register(command: Command): void
}

/** An execution under way: the stages that were shown, the last of them waiting for its form. */
interface Execution {
  readonly id: string
  readonly command: Command
  readonly asker: Jid
  readonly stages: readonly Waiting[]
  readonly timer: Timer
}
type Waiting = Extract<Stage, { readonly kind: 'form' }>
type Action = 'execute' | 'next' | 'complete' | 'prev' | 'cancel'
const ACTIONS: readonly Action[] = ['execute', 'next', 'complete', 'prev', 'cancel']

/** XEP-0050 §4.4: the submitted form does not do, and why. */
export const badPayload = (text: string): StanzaError => failure('bad-request', 'bad-payload', text)

const failure = (condition: StanzaErrorCondition, specific: string, text?: string): StanzaError =>
  new StanzaError(condition, { extra: el(NS_COMMANDS, specific), ...(text === undefined ? {} : { text }) })

/** Executes commands of the server, in one stage or several. */
export const commands = defineModule({
  name: 'commands',
  summary: 'Lets clients execute commands of the server, such as making an invitation.',
  xeps: { 'XEP-0050': '1.3.0' },
  features: { server: [NS_COMMANDS] },
  needs: { disco },

  start({ needs, clock }) {
    const known = new Map<string, Command>()
    const executions = new Map<string, Execution>()

    const end = ({ id, timer }: Execution): void => {
      timer.cancel()
      executions.delete(id)
    }
    const keep = (id: string, command: Command, asker: Jid, stages: readonly Waiting[]): void => {
      const earlier = executions.get(id)
      if (earlier !== undefined) end(earlier)
      const mine = [...executions.values()].filter((other) => bareOf(other.asker) === bareOf(asker))
      if (mine.length >= MAX_PER_ACCOUNT && mine[0] !== undefined) end(mine[0])
      const timer = clock.after(STAGE_TIMEOUT_MS, () => executions.delete(id))
      executions.set(id, { id, command, asker, stages, timer })
    }

    const find = ({ payload, from }: IqRequest): Command => {
      const command = known.get(payload.attrs.node ?? '')
      if (command === undefined) throw new StanzaError('item-not-found')
      if (!command.isAllowed(bareOf(from))) throw new StanzaError('forbidden')
      return command
    }

    const show = (id: string, command: Command, asker: Jid, before: readonly Waiting[], stage: Stage): Element => {
      if (stage.kind === 'form') {
        keep(id, command, asker, [...before, stage])
        return answer(command, id, 'executing', actionsOf(stage, before.length > 0), formElement(stage.form))
      }
      const earlier = executions.get(id)
      if (earlier !== undefined) end(earlier)
      const { form, note } = stage
      return answer(
        command,
        id,
        'completed',
        note && el(NS_COMMANDS, 'note', { type: note.type }, note.text),
        form && formElement(form),
      )
    }

    const begin = async (request: IqRequest, action: Action): Promise<Element> => {
      const command = find(request)
      if (action !== 'execute') throw failure('bad-request', 'bad-action')
      return show(newId(), command, request.from, [], await command.run(request.fromAddress))
    }

    const proceed = async (request: IqRequest, id: string, asked: Action): Promise<Element> => {
      const execution = executions.get(id)
      if (execution === undefined) throw failure('not-allowed', 'session-expired')
      const { command, stages, asker } = execution
      // XEP-0050 §3.3: an execution belongs to one requester, and to one command.
      if (asker !== request.from || command.node !== request.payload.attrs.node) throw failure('bad-request', 'bad-sessionid')
      const stage = stages.at(-1)
      const before = stages.slice(0, -1)
      if (stage === undefined || asked === 'cancel') {
        end(execution)
        return answer(command, id, 'canceled')
      }
      if (asked === 'prev') {
        const previous = before.at(-1)
        if (previous === undefined) throw failure('bad-request', 'bad-action')
        return show(id, command, asker, before.slice(0, -1), previous)
      }
      const forward = stage.isLast ? 'complete' : 'next'
      if (asked !== 'execute' && asked !== forward) throw failure('bad-request', 'bad-action')
      return show(id, command, asker, stages, await stage.submit(submitted(request.payload)))
    }

    needs.disco.addItemsNode((node, from) =>
      node === NS_COMMANDS ? [...known.values()].filter(({ isAllowed }) => isAllowed(bareOf(from))) : undefined,
    )
    needs.disco.addInfoNode((node, from) => {
      const features = [NS_COMMANDS, NS_DATA_FORMS]
      if (node === NS_COMMANDS)
        return { identities: [{ category: 'automation', type: 'command-list', name: 'Commands' }], features, forms: [] }
      const command = known.get(node)
      if (command === undefined) return undefined
      // XEP-0050 §2.2
      if (!command.isAllowed(bareOf(from))) throw new StanzaError('forbidden')
      return { identities: [{ category: 'automation', type: 'command-node', name: command.name }], features, forms: [] }
    })

    const api: CommandsApi = {
      register(command) {
        if (known.has(command.node)) throw new Error(`two commands are called ${command.node}`)
        known.set(command.node, command)
      },
    }
    return {
      api,
      iq: [
        onSet(NS_COMMANDS, 'command', 'server', (request) => {
          const { action = 'execute', sessionid } = request.payload.attrs
          const asked = ACTIONS.find((each) => each === action)
          if (asked === undefined) throw failure('bad-request', 'malformed-action')
          return sessionid === undefined ? begin(request, asked) : proceed(request, sessionid, asked)
        }),
      ],
      stop() {
        for (const execution of [...executions.values()]) end(execution)
      },
    }
  },
})

const answer = (
  { node }: Command,
  sessionid: string,
  status: 'executing' | 'completed' | 'canceled',
  ...children: readonly (Element | undefined)[]
): Element => el(NS_COMMANDS, 'command', { node, sessionid, status }, ...children)

/** XEP-0050 §3.4 */
const actionsOf = ({ isLast }: Waiting, hasPrevious: boolean): Element => {
  const forward = isLast ? 'complete' : 'next'
  return el(
    NS_COMMANDS,
    'actions',
    { execute: forward },
    hasPrevious ? el(NS_COMMANDS, 'prev') : undefined,
    el(NS_COMMANDS, forward),
  )
}

const submitted = (payload: Element): DataForm => {
  const x = payload.getChild('x', NS_DATA_FORMS)
  const form = x && readForm(x)
  // XEP-0050 §3.5.1: a cancelled form counts as submitted.
  if (form?.type !== 'submit' && form?.type !== 'cancel') throw badPayload('The form is missing.')
  return form
}
