'use strict';
// What a SAML identity provider answers, as it should and as somebody would who is not it.
//
// Everything is written in its canonical form, so that its bytes are what is signed and no library stands between.
// fixtures/saml/answers.tsv has a row for each answer: whom it may log in.

const crypto = require('crypto');
const zlib = require('zlib');

const DS = 'http://www.w3.org/2000/09/xmldsig#';
const C14N = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const RSA = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';
const ASSERTION = 'urn:oasis:names:tc:SAML:2.0:assertion';
const PROTOCOL = 'urn:oasis:names:tc:SAML:2.0:protocol';

const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
const fresh = () => '_' + crypto.randomBytes(16).toString('hex');

function signature(id, bytes, key) {
  const digest = crypto.createHash('sha256').update(bytes).digest('base64');
  const info = (namespace) =>
    `<ds:SignedInfo${namespace}><ds:CanonicalizationMethod Algorithm="${C14N}"></ds:CanonicalizationMethod>` +
    `<ds:SignatureMethod Algorithm="${RSA}"></ds:SignatureMethod><ds:Reference URI="#${id}"><ds:Transforms>` +
    `<ds:Transform Algorithm="${DS}enveloped-signature"></ds:Transform><ds:Transform Algorithm="${C14N}"></ds:Transform>` +
    '</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>' +
    `<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>`;
  const value = crypto.sign('sha256', Buffer.from(info(` xmlns:ds="${DS}"`)), key).toString('base64');
  return `<ds:Signature xmlns:ds="${DS}">${info('')}<ds:SignatureValue>${value}</ds:SignatureValue></ds:Signature>`;
}

// An assertion in two halves: its signature stands between them.
function assertion(to, who, bent = {}) {
  const late = bent.late || 0;
  const attribute = (name, values) =>
    `<saml:Attribute Name="${name}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic">` +
    values.map((value) => `<saml:AttributeValue>${value}</saml:AttributeValue>`).join('') + '</saml:Attribute>';
  const id = bent.id || fresh();
  const head = `<saml:Assertion xmlns:saml="${ASSERTION}" ID="${id}" IssueInstant="${at(late)}" Version="2.0">` +
    `<saml:Issuer>${bent.issuer || to.issuer}</saml:Issuer>`;
  const tail = `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">${who.user}</saml:NameID>` +
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">' +
    `<saml:SubjectConfirmationData InResponseTo="${bent.answers || to.request}" NotOnOrAfter="${at(300 + late)}" Recipient="${bent.recipient || to.acs}">` +
    '</saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>' +
    `<saml:Conditions NotBefore="${at(late - 30)}" NotOnOrAfter="${at(300 + late)}"><saml:AudienceRestriction>` +
    `<saml:Audience>${bent.audience || to.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
    `<saml:AuthnStatement AuthnInstant="${at(bent.loggedIn || 0)}" SessionIndex="${fresh()}"><saml:AuthnContext><saml:AuthnContextClassRef>` +
    'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>' +
    `<saml:AttributeStatement>${attribute('email', [`${who.user}@example.com`])}${attribute('groups', who.groups)}</saml:AttributeStatement></saml:Assertion>`;
  return { id, head, tail };
}

const plain = ({ head, tail }) => head + tail;
const signed = (made, key) => made.head + signature(made.id, plain(made), key) + made.tail;

function response(to, inside, bent = {}) {
  return `<samlp:Response xmlns:samlp="${PROTOCOL}" Destination="${bent.destination || to.acs}" ID="${bent.id || fresh()}" ` +
    `InResponseTo="${bent.answers || to.request}" IssueInstant="${at(0)}" Version="2.0">` +
    `<saml:Issuer xmlns:saml="${ASSERTION}">${bent.issuer || to.issuer}</saml:Issuer>${bent.extensions || ''}` +
    `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>${inside}</samlp:Response>`;
}

// The response signed as a whole; its signature stands behind the issuer.
function wholeSigned(to, inside, key) {
  const id = fresh();
  const text = response(to, inside, { id });
  const end = text.indexOf('</saml:Issuer>') + '</saml:Issuer>'.length;
  return text.slice(0, end) + signature(id, text, key) + text.slice(end);
}

const good = (to, key, bent, around) => response(to, signed(assertion(to, to.who, bent), key), around);

// By a form that the browser posts. `to.who` is who logged in, `to.evil` whom an attacker would like to be.
const POSTED = {
  'a signed assertion': (to, key) => good(to, key),
  'a signed assertion in a signed response': (to, key) => wholeSigned(to, signed(assertion(to, to.who), key), key),
  'no signature': (to) => response(to, plain(assertion(to, to.evil))),
  "a stranger's signature": (to, _, stranger) => response(to, signed(assertion(to, to.evil), stranger)),
  "a stranger's signature on the response": (to, _, stranger) => wholeSigned(to, plain(assertion(to, to.evil)), stranger),
  'groups changed after signing': (to, key) => good(to, key).replace('>dba<', '>agents<'),
  'name changed after signing': (to, key) => good(to, key).replace(`>${to.who.user}<`, `>${to.evil.user}<`),
  'a comment put into the name': (to, key) => good(to, key).replace(`>${to.who.user}<`, `>${to.evil.user}<!-- -->${to.who.user}<`),
  'a document type': (to, key) => `<!DOCTYPE r [<!ENTITY e "x">]>${good(to, key)}`,
  'for another audience': (to, key) => good(to, key, { audience: 'https://elsewhere.example' }),
  'for another recipient': (to, key) => good(to, key, { recipient: 'https://elsewhere.example/acs' }),
  'for another destination': (to, key) => good(to, key, {}, { destination: 'https://elsewhere.example/acs' }),
  'of another issuer': (to, key) => good(to, key, { issuer: 'https://evil.example' }, { issuer: 'https://evil.example' }),
  'run out an hour ago': (to, key) => good(to, key, { late: -3600 }),
  'good in an hour': (to, key) => good(to, key, { late: 3600 }),
  'to another request': (to, key) => good(to, key, { answers: '_another' }, { answers: '_another' }),
  'to another request, inside': (to, key) => good(to, key, { answers: '_another' }),
  'wrapped, forged before signed': (to, key) => response(to, plain(assertion(to, to.evil)) + signed(assertion(to, to.who), key)),
  'wrapped, forged behind signed': (to, key) => response(to, signed(assertion(to, to.who), key) + plain(assertion(to, to.evil))),
  'wrapped, both of one ID': (to, key) => {
    const honest = assertion(to, to.who);
    return response(to, plain(assertion(to, to.evil, { id: honest.id })) + signed(honest, key));
  },
  "wrapped, signed in the forged one's signature": (to, key) => {
    const [honest, forged] = [assertion(to, to.who), assertion(to, to.evil)];
    const around = signature(honest.id, plain(honest), key).replace('</ds:Signature>', `<ds:Object>${plain(honest)}</ds:Object></ds:Signature>`);
    return response(to, forged.head + around + forged.tail);
  },
  'wrapped, signed in the extensions': (to, key) =>
    response(to, plain(assertion(to, to.evil)), { extensions: `<samlp:Extensions>${signed(assertion(to, to.who), key)}</samlp:Extensions>` }),
  'wrapped, signature moved to the forged one': (to, key) => {
    const [honest, forged] = [assertion(to, to.who), assertion(to, to.evil)];
    return response(to, forged.head + signature(honest.id, plain(honest), key) + forged.tail + plain(honest));
  },
};

// By the address: the binding in which the query is signed, not the text.
const deflated = (text) => encodeURIComponent(zlib.deflateRawSync(Buffer.from(text)).toString('base64'));
const relayed = (to) => `RelayState=${encodeURIComponent(to.relay)}`;
function signedQuery(to, text, key) {
  const query = `SAMLResponse=${deflated(text)}&${relayed(to)}&SigAlg=${encodeURIComponent(RSA)}`;
  return `${query}&Signature=${encodeURIComponent(crypto.sign('sha256', Buffer.from(query), key).toString('base64'))}`;
}
const forged = (to) => deflated(response(to, plain(assertion(to, to.evil))));

const REDIRECTED = {
  'by redirect, signed twice': (to, key) => signedQuery(to, good(to, key), key),
  'by redirect, no signature': (to) => `SAMLResponse=${forged(to)}&${relayed(to)}`,
  'by redirect, only the query signed': (to, key) => signedQuery(to, response(to, plain(assertion(to, to.who))), key),
  'by redirect, forged under an escaped name': (to) => `%53AMLResponse=${forged(to)}&${relayed(to)}`,
  'by redirect, forged under an escaped name before a signed one': (to, key) => `%53AMLResponse=${forged(to)}&${signedQuery(to, good(to, key), key)}`,
  'by redirect, forged under an escaped name behind a signed one': (to, key) => `${signedQuery(to, good(to, key), key)}&%53AMLResponse=${forged(to)}`,
};

module.exports = { POSTED, REDIRECTED, assertion, response, signed };
