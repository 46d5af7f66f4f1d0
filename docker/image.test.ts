import { once } from 'node:events'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type Config, loadConfig } from '#server/base/config.ts'
import { makeSelfSigned } from '#server/transport/self-signed.ts'
import { build } from './testing/build.ts'
import { type Container, type ContainerOptions, canContain, startContainer } from './testing/container.ts'
import { only, readDockerfile } from './testing/dockerfile.ts'

/** There is no container engine where these run, so the Dockerfile is read, done and run by the system's own means. */

const project = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(project, path), 'utf8')
const stages = readDockerfile(read('docker/Dockerfile'))
const image = stages.at(-1)
const config = loadConfig({ file: join(project, 'docker/waxwing.yaml') })
const defaults = loadConfig()

/** Where others can reach the server. */
const openPorts = ({ listen }: Config): readonly number[] =>
  [listen.c2s, listen.tls, listen.https].flatMap((port) => (port === 'off' ? [] : [port]))

test('the bases are named with their versions, and the Node of the first is the one the sources need', () => {
  const oldest = /OLDEST_NODE = (\d+)/.exec(read('server/waxwing.mjs'))?.[1]
  expect(stages.map(({ base }) => base)).toEqual([
    expect.stringMatching(`^node:${oldest}-[a-z]+-slim$`),
    expect.stringMatching(/^debian:[a-z]+-slim$/),
  ])
})

test('ports, data, user, signal and health check are those of the server', () => {
  expect(only(image, 'EXPOSE').words.map(Number)).toEqual(openPorts(config))
  // Clients that look nothing up try these.
  expect([config.listen.c2s, config.listen.tls]).toEqual([defaults.listen.c2s, defaults.listen.tls])
  expect(only(image, 'VOLUME').words).toEqual([config.data])
  expect(loadConfig({ file: join(project, 'docker/image.yaml') }).data).toBe(config.data)
  expect(only(image, 'USER').words).toEqual([expect.stringMatching(/^[1-9]\d{4,}:[1-9]\d{4,}$/)])
  expect(only(image, 'STOPSIGNAL').words).toEqual(['SIGTERM'])
  expect(config.listen.admin).toBe(defaults.listen.admin)
  expect(read('docker/healthcheck.ts')).toContain(`'http://127.0.0.1:${config.listen.admin}/readyz'`)
})

const folders: string[] = []
const containers: Container[] = []
afterAll(async () => {
  await Promise.all(containers.map((each) => each.kill()))
  for (const folder of folders) rmSync(folder, { recursive: true, maxRetries: 3 })
})
const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'waxwing-image-'))
  folders.push(folder)
  return folder
}

const user = only(image, 'USER').words[0] ?? ''
const [uid = 0, gid = 0] = user.split(':').map(Number)

/** What compose.yaml mounts: each volume as an engine would make it, in a folder of the test. */
const volumesOf = (root: string): ContainerOptions['volumes'] => {
  const host = newFolder()
  const composed = parse(read('docker/compose.yaml')) as { services: { waxwing: { volumes: string[] } } }
  return composed.services.waxwing.volumes.map((written) => {
    const [name = '', target = '', mode] = written.split(':')
    const source = join(host, name)
    if (name.endsWith('.yaml')) writeFileSync(source, read(join('docker', name)))
    else {
      mkdirSync(source, { mode: 0o700 })
      chownSync(source, uid, gid)
      mkdirSync(join(root, target), { recursive: true })
    }
    return { source, target, isReadOnly: mode === 'ro' }
  })
}

const writeCertificate = (folder: string): void => {
  const made = makeSelfSigned({
    domain: config.domain,
    notBeforeMs: Date.UTC(2020, 0, 1),
    notAfterMs: Date.UTC(2099, 0, 1),
  })
  writeFileSync(join(folder, 'fullchain.pem'), made.certificate, { mode: 0o644 })
  writeFileSync(join(folder, 'privkey.pem'), made.key, { mode: 0o600 })
  chownSync(join(folder, 'privkey.pem'), uid, gid)
}

/** Resolves when the server says that it is there. */
const comesUp = async (container: Container): Promise<void> => {
  for await (const line of createInterface(container.stdout)) if (line.startsWith('Something wrong?')) return
  throw new Error(`the server did not come up:\n${container.log()}`)
}

const inImage = (path: string): readonly string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))

/** Connects to each port that is named. */
const PROBE =
  "for (const port of process.argv.slice(1)) require('net').connect(port, '127.0.0.1', function () { this.destroy() })"

// Elsewhere the packages are copied, so that the usual run needs no registry.
const packages = process.env.CI === undefined ? 'project' : 'npm'

test.skipIf(!canContain())(
  `the image holds what it needs and no more, and compose.yaml runs it without any right (packages from: ${packages}; needs root, on Linux with iproute2)`,
  async () => {
    const root = await build(project, newFolder(), packages)
    const files = inImage(join(root, 'app'))
    const own = files.filter((file) => !file.includes('/node_modules/'))
    expect(own.filter((file) => /\.(test|child)\.ts$|\/(contract|testing)\//.test(file))).toEqual([])
    expect(files.filter((file) => /darwin|win32|musl/.test(file) && file.endsWith('.node'))).toEqual([])
    expect(files.filter((file) => /node_modules\/(@?typescript|vitest|ajv|node-(linux|darwin))\b/.test(file))).toEqual([])
    expect(readdirSync(join(root, 'app')).toSorted()).toEqual(
      ['LICENSE', 'docker', 'node_modules', 'package.json', 'server', 'stanzas', 'storage'].toSorted(),
    )
    const megabytes = [join(root, 'usr/local/bin/node'), ...files].reduce((sum, file) => sum + statSync(file).size, 0) / 1e6
    expect(megabytes).toBeLessThan(170)
    // What the process may not write to belongs to somebody else.
    expect(files.filter((file) => statSync(file).uid === uid)).toEqual([])
    expect(statSync(join(root, config.data))).toMatchObject({ uid, gid })

    const volumes = volumesOf(root)
    const sourceOf = (target: string): string => volumes.find((each) => each.target === target)?.source ?? ''
    writeCertificate(sourceOf(dirname(config.tls.key ?? '')))
    const workdir = only(image, 'WORKDIR').words[0] ?? ''
    const command = [...only(image, 'ENTRYPOINT').words, ...only(image, 'CMD').words]
    const options = { root, user, workdir, command, volumes }
    const container = startContainer(options)
    containers.push(container)
    await comesUp(container)

    expect(await container.execute(only(image, 'HEALTHCHECK').words)).toBe('ready\n')
    const facts = await container.execute([
      'sh',
      '-c',
      'id -u; sed -n "s/^Cap[A-Z].*:\\t//p" /proc/1/status | sort -u; ! touch /app/new',
    ])
    expect(facts).toBe(`${uid}\n0000000000000000\n`)
    expect(await container.execute(['node', '-e', PROBE, ...openPorts(config).map(String)])).toBe('')

    await container.execute(['waxwing', 'account', 'add', `juliet@${config.domain}`, '--password-stdin'], 'a rose by any name\n')
    expect(await container.execute(['waxwing', 'account', 'list'])).toContain(`juliet@${config.domain}`)
    expect(await container.stop('SIGTERM')).toBe(0)
    expect(container.log()).toContain('server-stopped')
    // All that was written is in the volume.
    expect(readdirSync(sourceOf(config.data))).toContain('waxwing.db')

    const again = startContainer(options)
    containers.push(again)
    await comesUp(again)
    expect(await again.execute(['waxwing', 'account', 'list'])).toContain(`juliet@${config.domain}`)
    await again.kill()

    // Nobody answers where no server runs.
    const idle = startContainer({ ...options, command: ['sh', '-c', 'echo here; exec sleep infinity'] })
    containers.push(idle)
    await once(idle.stdout, 'data')
    await expect(idle.execute(only(image, 'HEALTHCHECK').words)).rejects.toThrow('ECONNREFUSED')
  },
  180_000,
)
