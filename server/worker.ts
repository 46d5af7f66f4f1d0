import { StorageError } from '#storage/storage-error.ts'
import { systemClock } from './base/clock.ts'
import { createLog, type Logger } from './base/log.ts'
import { OperationError } from './base/operations.ts'
import { openLocalHomes } from './cluster/local-homes.ts'
import { openUnixBus } from './cluster/unix-bus.ts'
import type { Bus, NodeId } from './core/bus.ts'
import { type StartedServer, startServer } from './server.ts'
import type { Failure, FromWorker, ToWorker, WorkerQuestion, WorkerStart } from './worker-messages.ts'

/** Serves clients as one of several processes, from when the supervisor says so until it says stop, or is gone. */
export const runWorker = (): void => {
  // A terminal and a service manager send these to all processes; the supervisor says what is to be done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.exit(1))
  let running: Promise<Worker> | undefined
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'start':
        running = startWorker(message)
        running.then(
          ({ server }) => tell({ kind: 'started', ports: server.ports }),
          (error: unknown) => tell({ kind: 'failed', failure: failureOf(error) }),
        )
        return
      case 'ask':
        void running?.then(({ server }) => answer(server, message.id, message.question))
        return
      case 'stop':
        void running?.then((worker) => worker.stop()).then(() => process.exit(0))
    }
  })
  tell({ kind: 'ready' })
}

const tell = (message: FromWorker): void => void process.send?.(message)

interface Worker {
  readonly server: StartedServer
  stop(): Promise<void>
}

const startWorker = async ({ config, dev, self, registrar, busFolder, storeSocket }: WorkerStart): Promise<Worker> => {
  const log = createLog(config.log).child({ worker: self.name })
  process.on('uncaughtException', (error) => {
    log.fatal('uncaught-exception', { error })
    process.exit(1)
  })
  const bus = await openUnixBus({ folder: busFolder, self, clock: systemClock, log: quiet(log) })
  await linked(bus, registrar)
  const homes = await openLocalHomes({ bus, clock: systemClock, registrar })
  homes.onFenced((reason) => {
    // What is at home here may be at home elsewhere already: nothing more may be written.
    log.fatal('fenced', { reason })
    process.exit(1)
  })
  const server = await startServer({
    config,
    log,
    ...(dev === undefined ? {} : { dev }),
    worker: { name: self.name, fleet: { bus, homes }, storeSocket, onWait: (reason) => tell({ kind: 'waits', reason }) },
  })
  return {
    server,
    async stop() {
      await server.stop()
      await homes.close()
      await bus.close()
    },
  }
}

/** The supervisor tells of workers that come and go. */
const quiet = (log: Logger): Logger => ({ ...log, info: log.debug })

const linked = (bus: Bus, node: NodeId): Promise<void> =>
  new Promise((resolve) => {
    if (bus.isLinked(node)) resolve()
    else bus.onPeerFound((found) => found.epoch === node.epoch && resolve())
  })

const answer = async (server: StartedServer, id: number, question: WorkerQuestion): Promise<void> => {
  try {
    tell({ kind: 'answer', id, result: await resultOf(server, question) })
  } catch (error) {
    tell({ kind: 'refusal', id, failure: failureOf(error) })
  }
}

const resultOf = (server: StartedServer, question: WorkerQuestion): Promise<unknown> => {
  switch (question.what) {
    case 'check':
      return server.check()
    case 'numbers':
      return server.numbers()
    case 'operation': {
      // The supervisor pairs each name with its input.
      const operation = server.operations[question.name] as (...input: readonly unknown[]) => Promise<unknown>
      return operation(...question.input)
    }
  }
}

const failureOf = (error: unknown): Failure => ({
  message: error instanceof Error ? error.message : String(error),
  isRefusal: error instanceof OperationError || error instanceof StorageError,
  syscall: error instanceof Error && 'syscall' in error ? String(error.syscall) : undefined,
})
