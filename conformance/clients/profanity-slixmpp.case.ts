import { profanity } from './profanity.ts'
import { playStory } from './scenario.ts'
import { slixmpp } from './slixmpp.ts'

playStory({ juliet: profanity, romeo: slixmpp })
