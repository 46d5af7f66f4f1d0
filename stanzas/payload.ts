import type { Element } from './element.ts'

/** A first-level child of a stanza. */
export interface Payload {
  readonly ns: string
  readonly name: string
}

/** A first-level child and where it stands, counted from where its stanza's content begins. */
export class Child implements Payload {
  readonly ns: string
  readonly name: string
  readonly start: number
  readonly innerStart: number
  /** Filled in when its end tag is read; the same as `end` for an empty-element tag. */
  innerEnd = 0
  end = 0
  /** The child as a tree, once somebody has asked for it. */
  element: Element | undefined = undefined

  constructor(ns: string, name: string, start: number, innerStart: number) {
    this.ns = ns
    this.name = name
    this.start = start
    this.innerStart = innerStart
  }

  /** The same child in a text where its content stands elsewhere. */
  movedBy(distance: number): Child {
    const moved = new Child(this.ns, this.name, this.start + distance, this.innerStart + distance)
    moved.innerEnd = this.innerEnd + distance
    moved.end = this.end + distance
    moved.element = this.element
    return moved
  }
}
