import type { DeclaredModule } from './command/server-seam.ts'

/** What the parts that are no modules follow, declared in a module's form for the pages of docs/. */
export const specifications: readonly DeclaredModule[] = [
  {
    name: 'streams',
    summary: 'Streams, login and resumption.',
    xeps: {
      'XEP-0170': '1.0',
      'XEP-0198': '1.6.3',
      'XEP-0368': '1.1.0',
      'XEP-0386': '1.1.0',
      'XEP-0388': '1.0.4',
      'XEP-0440': '1.0.0',
      'XEP-0474': '0.5.0',
      'XEP-0480': '0.2.0',
      'XEP-0484': '0.2.0',
      'XEP-0515': '0.1.0',
    },
    features: {},
    config: {},
  },
  {
    name: 'delivery',
    summary: 'What is kept, and how it is known again.',
    xeps: { 'XEP-0082': '1.1.1', 'XEP-0184': '1.4.0', 'XEP-0333': '1.0.0', 'XEP-0334': '1.0.0', 'XEP-0359': '0.7.0' },
    features: {},
    config: {},
  },
]
