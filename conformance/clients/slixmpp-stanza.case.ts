import { playStory } from './scenario.ts'
import { slixmpp } from './slixmpp.ts'
import { stanzaOverWebSocket } from './stanza.ts'

playStory({ juliet: slixmpp, romeo: stanzaOverWebSocket })
