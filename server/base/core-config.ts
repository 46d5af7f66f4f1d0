import { isIP } from 'node:net'
import {
  boolean,
  bytes,
  type ConfigOf,
  choice,
  duration,
  integer,
  list,
  optionalPath,
  optionalText,
  path,
  section,
  type TextRule,
  text,
} from './schema.ts'

const DOMAIN: TextRule = {
  accepts: 'a domain such as example.org',
  test: (written) => /^(?=.{1,255}$)[^\s@/"'<>&:]+$/u.test(written) && !/(^|\.)\./.test(written) && !written.endsWith('.'),
}

const ADDRESS: TextRule = { accepts: 'an IP address such as 192.0.2.1 or ::', test: (written) => isIP(written) !== 0 }

const NETWORK: TextRule = {
  accepts: 'an IP address or network such as 10.0.0.0/8',
  test(written) {
    const [address = '', bits, ...rest] = written.split('/')
    const family = isIP(address)
    if (family === 0 || rest.length > 0) return false
    return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
  },
}

const ACCOUNT: TextRule = {
  accepts: 'an account such as juliet@example.org',
  test: (written) => /^[^\s@/]+@[^\s@/]+$/u.test(written),
}
const WEB: TextRule = {
  accepts: 'an address such as https://chat.example.org, without a slash at the end',
  test: (written) => /^https?:\/\/[^/]+(\/.*)?[^/]$/.test(written) && URL.canParse(written),
}

const MONGODB: TextRule = {
  accepts: 'an address such as mongodb://name:password@db1.example.org,db2.example.org/waxwing?replicaSet=rs0',
  test: (written) => /^mongodb(\+srv)?:\/\/[^/\s]+(\/\S*)?$/.test(written),
  isSecret: true,
}

const REDIS: TextRule = {
  accepts: 'an address such as redis://name:password@redis.example.org:6379, or rediss:// for TLS',
  test: (written) => /^rediss?:\/\/[^/\s]+(\/\d*)?$/.test(written) && URL.canParse(written),
  isSecret: true,
}

const NODE: TextRule = {
  accepts: 'a name of lower-case letters, digits, dots and hyphens, such as node-1',
  test: (written) => /^[a-z0-9][a-z0-9.-]{0,39}$/.test(written),
}

const port = (standard: number | 'off', doc: string) =>
  integer({ default: standard, min: 0, max: 65535, or: ['off'], doc: `${doc} 0 picks a free port; off does not listen.` })

/** The sections that every server has; those of modules are added under `modules`. */
export const coreSchema = {
  domain: text({ default: 'localhost', doc: 'The part after the @ of every account on this server.', rule: DOMAIN }),
  data: path({
    default: './data',
    doc: 'The folder that holds everything the server keeps: accounts, messages, its own certificate.',
  }),
  store: section({
    doc: 'Which database keeps it.',
    fields: {
      driver: choice(['embedded', 'mongodb'], {
        default: 'embedded',
        doc: 'embedded: a file in the data folder, for a server of one machine. mongodb: a MongoDB replica set or sharded cluster, for several (docs/mongodb.md).',
      }),
      url: optionalText({
        doc: 'Where mongodb is, with name and password, the database (waxwing, when none is named) and the options of the connection. It is never logged.',
        rule: MONGODB,
      }),
    },
  }),
  cluster: section({
    doc: 'Whether this server is one node of several. Without it, it is alone.',
    fields: {
      redis: optionalText({
        doc: 'The Redis (7.0 or newer) or Redis Cluster by which the nodes find each other, with name and password. It needs to keep nothing: what it forgets, the nodes tell it again. It is never logged.',
        rule: REDIS,
      }),
      node: optionalText({
        doc: 'What this node is called; no two of them share a name. Without it, the name of the machine.',
        rule: NODE,
      }),
      lease: duration('5s', {
        min: '3s',
        max: '5m',
        doc: 'How long a node lives that cannot reach Redis, less a fifth, and so how long the accounts of one that died wait for another. The same at all nodes; all have to be stopped before it is changed.',
      }),
    },
  }),
  workers: integer({
    default: 1,
    min: 1,
    max: 64,
    doc: 'How many processes serve clients, on the same ports and with the same store; for a server that needs more than one processor. What limits.rates switches on counts in each of them alone.',
  }),
  listen: section({
    doc: 'Where clients connect.',
    fields: {
      address: list(text({ default: '', doc: '', rule: ADDRESS }), {
        default: [],
        doc: 'The addresses that c2s, tls and https listen on. Empty means every address of the machine, or only the loopback when the domain is localhost.',
      }),
      c2s: port(5222, 'Client connections that turn to TLS by STARTTLS (RFC 6120).'),
      tls: port(5223, 'Client connections that begin with TLS (XEP-0368).'),
      http: port(
        5280,
        'Plain HTTP with WebSocket (RFC 7395) and host-meta, for a reverse proxy on the same machine or for localhost.',
      ),
      httpAddress: text({
        default: '127.0.0.1',
        doc: 'The address that http listens on. Without TLS, clients can log in through an address of the loopback only: directly, or through a reverse proxy on this machine.',
        rule: ADDRESS,
      }),
      publicUrl: optionalText({
        doc: 'Where browsers reach http or https from outside, for links and for discovery (XEP-0156); needed behind a reverse proxy.',
        rule: WEB,
      }),
      https: port('off', 'The same as http, over TLS, for a server without a reverse proxy; 5443 is usual.'),
      admin: port(5290, 'Plain HTTP on the loopback address for /metrics, /healthz and /readyz.'),
    },
  }),
  proxyProtocol: list(text({ default: '', doc: '', rule: NETWORK }), {
    default: [],
    doc: 'The load balancers that must send a PROXY protocol header (v1 or v2), by address or network. Connections from elsewhere must not send one.',
  }),
  tls: section({
    doc: 'The certificate and the TLS versions. Without a certificate, the server makes one for itself, which clients do not trust.',
    fields: {
      certificate: optionalPath({ doc: 'The certificate chain in PEM. It is read again when the file changes.' }),
      key: optionalPath({ doc: 'The private key of the certificate in PEM.' }),
      minVersion: choice(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', doc: 'The oldest version of TLS that clients may use.' }),
      curves: list(text({ default: '', doc: '' }), {
        default: ['X25519MLKEM768', 'X25519', 'P-256'],
        doc: 'The groups for the key exchange, best first. Without the first, which withstands quantum computers, a connection takes 5 KiB less.',
      }),
    },
  }),
  limits: section({
    doc: 'What one peer may use of the server.',
    fields: {
      stanzaBytes: bytes('256 KiB', {
        min: '10000 B',
        max: '16 MiB',
        doc: 'The largest stanza from a client that has logged in. RFC 6120 §13.12 forbids less than 10000 bytes.',
      }),
      bytesBeforeLogin: bytes('10 KB', {
        min: '4 KB',
        max: '256 KiB',
        doc: 'The largest element from a client that has not logged in yet.',
      }),
      depth: integer({ default: 64, min: 16, max: 1024, doc: 'How deep the elements of a stanza may be nested.' }),
      loginTimeout: duration('30s', {
        min: '1s',
        max: '10m',
        doc: 'How long a connection may take until it has logged in and bound a resource.',
      }),
      idleTimeout: duration('15m', {
        min: '30s',
        or: ['forever'],
        doc: 'How long a connection may be silent before the server asks whether it is still there, and half of which it then waits.',
      }),
      sendQueueBytes: bytes('1 MiB', {
        min: '64 KiB',
        doc: 'How much may wait for a client that does not read. Beyond it, messages stay in the store until the client comes back.',
      }),
      stalledTimeout: duration('60s', {
        min: '1s',
        max: '1h',
        doc: 'How long a client may leave its connection full before the connection is closed. Nothing is lost by it.',
      }),
      sessionsPerAccount: integer({
        default: 50,
        min: 1,
        max: 10_000,
        doc: 'How many resources of one account may be online at once.',
      }),
      rates: boolean({ default: true, doc: 'Whether rates are limited at all. Switch it off for tests and benchmarks only.' }),
      connectionsPerAddress: integer({
        default: 200,
        min: 1,
        doc: 'How many connections one address may have open at once, while rates are limited.',
      }),
      stanzasPerSecond: integer({
        default: 100,
        min: 1,
        doc: 'How many stanzas a second a client may send in the long run; every 4 KiB count as one more. Above it, the server reads it more slowly.',
      }),
      stanzaBurst: integer({
        default: 1000,
        min: 1,
        doc: 'How many stanzas a client may send at once before it is slowed down.',
      }),
    },
  }),
  login: section({
    doc: 'How accounts prove who they are.',
    fields: {
      mechanisms: list(
        choice(
          [
            'SCRAM-SHA-512-PLUS',
            'SCRAM-SHA-512',
            'SCRAM-SHA-256-PLUS',
            'SCRAM-SHA-256',
            'SCRAM-SHA-1-PLUS',
            'SCRAM-SHA-1',
            'PLAIN',
          ],
          { default: 'PLAIN', doc: '' },
        ),
        {
          default: [
            'SCRAM-SHA-512-PLUS',
            'SCRAM-SHA-512',
            'SCRAM-SHA-256-PLUS',
            'SCRAM-SHA-256',
            'SCRAM-SHA-1-PLUS',
            'SCRAM-SHA-1',
            'PLAIN',
          ],
          doc: 'The SASL mechanisms on offer, best first.',
        },
      ),
      allowPlainWithoutTls: boolean({
        default: false,
        doc: 'Whether clients may log in without TLS. Passwords and messages are then readable on the way: for tests only.',
      }),
      scramIterations: integer({
        default: 10_000,
        min: 4096,
        max: 1_000_000,
        doc: 'The iteration count of new SCRAM keys (RFC 5802, RFC 7677).',
      }),
      failuresPerAddress: integer({
        default: 30,
        min: 1,
        doc: 'How many failed logins one address may make within failureWindow, while rates are limited.',
      }),
      failuresPerAccount: integer({
        default: 10,
        min: 1,
        doc: 'How many failed logins one account may see within failureWindow, while rates are limited.',
      }),
      failureWindow: duration('5m', { min: '1s', max: '24h', doc: 'The time in which failed logins count.' }),
      tokenLifetime: duration('30d', {
        min: '1h',
        max: '365d',
        doc: 'How long a client that stays away may come back by the token it was given (XEP-0484), without its password.',
      }),
      devicesPerAccount: integer({
        default: 50,
        min: 1,
        max: 1000,
        doc: 'How many clients of one account are remembered with their tokens; beyond it, those that were seen last stay.',
      }),
      deviceMemory: duration('90d', {
        min: '1h',
        max: '1000d',
        doc: 'How long a client that stays away is listed among those of its account (XEP-0494).',
      }),
    },
  }),
  ledger: section({
    doc: 'How messages are kept.',
    fields: {
      mode: choice(['durable', 'relaxed', 'off'], {
        default: 'durable',
        doc: 'durable: on disk before anyone sees or acknowledges it. relaxed: written within a second; a power cut may lose what was acknowledged. off: only what no device took is kept.',
      }),
      retention: duration('30d', {
        min: '1m',
        or: ['until-delivered', 'forever'],
        doc: 'How long a message is kept after a device has taken it.',
      }),
      maxPendingPerAccount: integer({
        default: 10_000,
        min: 10,
        doc: 'How many messages may wait for an account that no device is there for. Beyond it, senders are told that it is not available.',
      }),
    },
  }),
  streamManagement: section({
    doc: 'Acknowledgements and resumption of streams (XEP-0198).',
    fields: {
      resumeTimeout: duration('5m', {
        min: '0s',
        max: '24h',
        doc: 'How long a session waits for a client that lost its connection.',
      }),
      maxUnackedStanzas: integer({
        default: 5000,
        min: 10,
        doc: 'How many stanzas may wait for the acknowledgement of a client before its session ends.',
      }),
      maxUnackedBytes: bytes('4 MiB', {
        min: '64 KiB',
        doc: 'How many bytes may wait for the acknowledgement of a client before its session ends.',
      }),
    },
  }),
  admins: list(text({ default: '', doc: '', rule: ACCOUNT }), {
    default: [],
    doc: 'The accounts that may administer the server.',
  }),
  log: section({
    doc: 'What is logged, on standard error. Passwords and the content of stanzas never are.',
    fields: {
      level: choice(['debug', 'info', 'warn', 'error'], { default: 'info', doc: 'The least important lines to write.' }),
      format: choice(['auto', 'json', 'pretty'], {
        default: 'auto',
        doc: 'auto writes for people on a terminal and JSON elsewhere.',
      }),
    },
  }),
} as const

/** The values of the core sections. */
export type CoreConfig = ConfigOf<typeof coreSchema>
