import type { Draft, Publication, PublishGuard, PubsubEvent, PubsubListener } from './api.ts'

/** The modules that watch what happens at nodes, and those that are asked before. */
export class Listeners {
  readonly #all: PubsubListener[] = []
  readonly #byNode = new Map<string, PubsubListener[]>()
  readonly #guards = new Map<string, PublishGuard[]>()
  readonly #onFailure: (event: PubsubEvent, error: unknown) => void

  constructor(onFailure: (event: PubsubEvent, error: unknown) => void) {
    this.#onFailure = onFailure
  }

  observe(node: string | undefined, listener: PubsubListener): void {
    if (node === undefined) this.#all.push(listener)
    else this.#byNode.set(node, [...(this.#byNode.get(node) ?? []), listener])
  }

  guard(node: string, ask: PublishGuard): void {
    this.#guards.set(node, [...(this.#guards.get(node) ?? []), ask])
  }

  /** Nobody is waited for: a listener may do something at the same node, which comes after what it hears of. */
  tell(event: PubsubEvent): void {
    for (const listener of this.#all) this.#call(listener, event)
    for (const listener of this.#byNode.get(event.node.name) ?? []) this.#call(listener, event)
  }

  /** Whether somebody is asked before items are published to nodes of this name. */
  isGuarded(node: string): boolean {
    return this.#guards.has(node)
  }

  /** What is to be published once everybody who guards nodes of this name was asked. */
  async ask(publication: Publication): Promise<readonly Draft[]> {
    let { drafts } = publication
    for (const ask of this.#guards.get(publication.nodeName) ?? []) drafts = await ask({ ...publication, drafts })
    return drafts
  }

  #call(listener: PubsubListener, event: PubsubEvent): void {
    try {
      listener(event)?.catch((error: unknown) => this.#onFailure(event, error))
    } catch (error) {
      this.#onFailure(event, error)
    }
  }
}
