/** Makes an account on a server that lets everybody (XEP-0077 over RFC 7395); one that is there already is left as it is. */
export const register = (service, domain, username, password) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(service, 'xmpp')
    const escaped = (text) => text.replace(/[&<]/g, (letter) => (letter === '&' ? '&amp;' : '&lt;'))
    socket.onopen = () => socket.send(`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${domain}' version='1.0'/>`)
    socket.onerror = () => reject(new Error(`there is no ${service}`))
    socket.onmessage = ({ data }) => {
      if (data.includes('features'))
        socket.send(
          `<iq xmlns='jabber:client' type='set' id='r1'><query xmlns='jabber:iq:register'><username>${escaped(username)}</username><password>${escaped(password)}</password></query></iq>`,
        )
      if (!data.includes('r1')) return
      socket.close()
      if (data.includes("'result'") || data.includes('conflict')) resolve()
      else reject(new Error(data))
    }
  })
