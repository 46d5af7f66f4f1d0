import type { Shape } from '#storage/shapes.ts'
import type { Hook } from './hooks.ts'
import type { Module, ModuleContext, ModuleParts, Registry } from './module.ts'
import type { Session } from './session.ts'

/** A module that runs, and what it returned. */
export interface Started {
  readonly module: Module
  readonly parts: ModuleParts<unknown>
}

/** The modules in an order in which each comes after those it needs; names the culprit when there is none. */
export const inStartOrder = (modules: readonly Module[]): readonly Module[] => {
  const sorted: Module[] = []
  const visit = (module: Module, path: readonly string[]): void => {
    if (sorted.includes(module)) return
    if (path.includes(module.name)) throw new Error(`modules need each other in a circle: ${[...path, module.name].join(' → ')}`)
    for (const needed of Object.values(module.needs)) {
      if (!modules.includes(needed)) throw new Error(`module ${module.name} needs ${needed.name}, which is not in the list`)
      visit(needed, [...path, module.name])
    }
    sorted.push(module)
  }
  for (const module of modules) visit(module, [])
  const names = new Set<string>()
  for (const { name } of sorted) {
    if (names.has(name)) throw new Error(`two modules are called ${name}`)
    names.add(name)
  }
  return sorted
}

/** What all modules together declare. */
export const registryOf = (modules: readonly Module[]): Registry => {
  const unique = (features: readonly string[], whose: string): readonly string[] => {
    const twice = features.find((feature, i) => features.indexOf(feature) !== i)
    if (twice !== undefined) throw new Error(`two modules declare the ${whose} feature ${twice}`)
    return features
  }
  return {
    modules,
    serverFeatures: unique(
      modules.flatMap((module) => module.features.server ?? []),
      'server',
    ),
    accountFeatures: unique(
      modules.flatMap((module) => module.features.account ?? []),
      'account',
    ),
    serverIdentities: modules.flatMap((module) => module.identities.server ?? []),
    accountIdentities: modules.flatMap((module) => module.identities.account ?? []),
  }
}

type Shared = Omit<ModuleContext<never, never, never, never>, 'config' | 'stores' | 'needs' | 'stateOf' | 'log'>

/** Starts the modules in order; each is given what it declared, and nothing else. */
export const startModules = async (
  modules: readonly Module[],
  options: {
    readonly shared: Shared
    /** Opens a store by its name, `module/store`. */
    readonly openStore: (shape: Shape, name: string) => unknown
    readonly log: ModuleContext<never, never, never, never>['log']
    readonly configOf: (module: Module) => unknown
  },
): Promise<readonly Started[]> => {
  const started: Started[] = []
  const apis = new Map<Module, unknown>()
  let slots = 0
  for (const module of modules) {
    const slot = module.perSession === undefined ? -1 : slots++
    const context = {
      ...options.shared,
      config: options.configOf(module),
      stores: mapValues(module.stores, (shape, name) => options.openStore(shape, `${module.name}/${name}`)),
      needs: mapValues(module.needs, (needed) => apis.get(needed)),
      stateOf: (session: Session) => (session.slots[slot] ??= module.perSession?.()),
      log: options.log.child({ module: module.name }),
    }
    const parts = await module.start(context as unknown as Parameters<Module['start']>[0])
    apis.set(module, parts.api)
    started.push({ module, parts })
  }
  return started
}

const mapValues = <T, R>(
  values: Readonly<Record<string, T>>,
  change: (value: T, key: string) => R,
): Readonly<Record<string, R>> => Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value, key)]))

/** Every hook of the started modules, with its module's name. */
export const hooksOf = (started: readonly Started[]): readonly { readonly module: string; readonly hook: Hook }[] =>
  started.flatMap(({ module, parts }) => (parts.hooks ?? []).map((hook) => ({ module: module.name, hook })))
