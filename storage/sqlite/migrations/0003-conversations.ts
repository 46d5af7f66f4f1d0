/**
 * The index by peer knows of each entry whether it is a text that the peer sent, and of each conversation the owner's own newest text. It begins anew:
 * it is filled when it is asked for, anyway.
 */
export const conversations = {
  title: 'conversations',
  sql: `
    DROP TABLE peer_places;
    DROP TABLE conversations;
    UPDATE progress SET peers_to = 0;

    -- Each owner's entries by peer; peer-index.ts describes them.
    CREATE TABLE peer_places (
      owner INTEGER NOT NULL,
      peer INTEGER NOT NULL,
      first INTEGER NOT NULL,
      received INTEGER NOT NULL,
      entries BLOB NOT NULL,
      PRIMARY KEY (owner, peer, first)
    ) WITHOUT ROWID;
    CREATE TABLE conversations (
      owner INTEGER NOT NULL,
      peer INTEGER NOT NULL,
      last INTEGER NOT NULL,
      answered INTEGER NOT NULL,
      PRIMARY KEY (owner, peer)
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_last ON conversations (owner, last);
  `,
} as const
