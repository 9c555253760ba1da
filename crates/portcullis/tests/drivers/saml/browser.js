'use strict';
// A browser as far as a login needs one: redirects, cookies by host, forms. It leaves loopback for nobody.

const zlib = require('zlib');

class Browser {
  constructor() {
    this.home = undefined; // where a login ends: the loopback listener of `portcullis login`
    this.jars = new Map();
  }

  // Follows redirects until a page, the loopback listener, or another machine.
  async go(url, form) {
    for (let hop = 0; hop < 12; hop += 1) {
      const { host, hostname } = new URL(url);
      if (this.home && url.startsWith(this.home)) return { url, home: true };
      if (hostname !== '127.0.0.1') return { url, elsewhere: true };
      const jar = this.jars.get(host) || new Map();
      this.jars.set(host, jar);
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const reply = await fetch(url, {
        method: form ? 'POST' : 'GET', redirect: 'manual', headers: { cookie, connection: 'close' },
        body: form ? new URLSearchParams(form) : undefined,
      });
      for (const line of reply.headers.getSetCookie()) {
        const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
        if (/max-age=0/i.test(line)) jar.delete(name);
        else jar.set(name, value);
      }
      const text = await reply.text();
      const to = reply.headers.get('location');
      if (!to) return { url, status: reply.status, words: seen(text) };
      url = new URL(to, url).href;
      form = undefined;
    }
    throw new Error('too many redirects');
  }

  // Goes to a login, which leads to the SAML identity provider: what the bridge asks it.
  async asked(login) {
    const went = await this.go(login);
    if (!went.elsewhere) throw new Error(`the bridge sends nobody to its SAML provider: ${went.status} ${went.words}`);
    const query = new URL(went.url).searchParams;
    const text = zlib.inflateRawSync(Buffer.from(query.get('SAMLRequest'), 'base64')).toString();
    const attribute = (name) => (text.match(new RegExp(`\\b${name}="([^"]*)"`)) || [])[1];
    return {
      relay: query.get('RelayState'), request: attribute('ID'), acs: attribute('AssertionConsumerServiceURL'),
      force: attribute('ForceAuthn'), audience: (text.match(/Issuer[^>]*>([^<]*)</) || [])[1],
    };
  }

  posted(to, text, relay = to.relay) {
    return this.go(to.acs, { SAMLResponse: Buffer.from(text).toString('base64'), RelayState: relay });
  }
}

const seen = (page) => page.replace(/<(style|script|head)[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 120);

module.exports = { Browser };
