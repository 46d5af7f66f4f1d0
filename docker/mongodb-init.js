// Run by mongosh on one member, as often as it likes: makes the three a replica set, once, and waits until one of them may write.
try {
  rs.status()
} catch {
  rs.initiate({ _id: 'rs0', members: [1, 2, 3].map((n) => ({ _id: n - 1, host: `mongodb${n}:27017` })) })
}
while (!db.hello().isWritablePrimary && db.hello().primary === undefined) sleep(500)
