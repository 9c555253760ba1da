'use strict';
// Logs people in at the gateway through an OIDC bridge in front of a SAML identity provider, which this is as well.
//
// Each row of fixtures/saml/answers.tsv is a login of its own: `portcullis login --browser`, the bridge's request, the
// row's answer, and whom the gateway then takes the kept token for. Then what one answer is worth a second time, what a
// login may do, and what becomes of somebody who lost a group. Exits with 1 if anything is not as the table says.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { spawn, spawnSync } = require('child_process');
const { POSTED, REDIRECTED, assertion, response, signed } = require('./answers');
const { Browser } = require('./browser');

const { PORTCULLIS, GATEWAY, CA, ISSUER, QUIET, LOOSE, KEYS, TABLE } = process.env;
const key = fs.readFileSync(path.join(KEYS, 'provider.key'));
const stranger = fs.readFileSync(path.join(KEYS, 'stranger.key'));
const SAML = 'https://saml.example.com/idp';
const NOBODY = 'nobody';
let wrong = 0;

function check(what, seen, wanted, words = '') {
  const right = seen === wanted;
  if (!right) wrong += 1;
  console.log(`${right ? 'ok   ' : 'WRONG'} ${what}: ${seen}${right ? '' : `, not ${wanted}`}${words ? `  (${words})` : ''}`);
}

const gateway = (home, ...words) =>
  spawnSync(PORTCULLIS, [...words, '--gateway', GATEWAY, '--ca', CA], { env: { XDG_STATE_HOME: home }, encoding: 'utf8' });

// A login under way: its browser has been sent to the SAML provider.
async function begin(issuer = ISSUER, browser = new Browser()) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'pc-saml-home-'));
  const child = spawn(PORTCULLIS, ['login', '--browser', '--issuer', issuer, '--gateway', GATEWAY, '--ca', CA], { env: { XDG_STATE_HOME: home } });
  let said = '';
  const done = new Promise((resolve) => child.on('close', () => resolve(said)));
  const url = await new Promise((resolve, reject) => {
    const listen = (data) => {
      said += data;
      const found = said.match(/Open (\S+)\n/);
      if (found) resolve(found[1]);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('close', () => reject(new Error(`login: ${said}`)));
  });
  browser.home = new URL(url).searchParams.get('redirect_uri');
  const asked = await browser.asked(url);
  const to = { ...asked, issuer: SAML, who: { user: 'dana', groups: ['dba', 'everyone'] }, evil: { user: 'mallory', groups: ['dba'] } };
  return { home, child, done, browser, to };
}

// Where the bridge sent the browser, to its end: whom the gateway takes the login for.
async function end(login, went) {
  if (went.home) await (await fetch(went.url)).text();
  else login.child.kill();
  const said = await login.done;
  const who = gateway(login.home, 'whoami').stdout.split(' ')[0] || NOBODY;
  return { who, words: went.home ? (who === NOBODY ? said.trim().split('\n').pop() : '') : `${went.status} ${went.words}` };
}

async function rows() {
  const lines = fs.readFileSync(TABLE, 'utf8').split('\n').filter((line) => line && !line.startsWith('#'));
  const table = new Map(lines.map((line) => line.split('\t')));
  for (const name of [...Object.keys(POSTED), ...Object.keys(REDIRECTED)]) {
    if (!table.has(name)) check(name, 'no row', 'a row');
  }
  for (const [name, wanted] of table) {
    const login = await begin();
    const { browser, to } = login;
    const answer = POSTED[name] || REDIRECTED[name];
    if (!answer) throw new Error(`nothing answers so: ${name}`);
    const text = answer(to, key, stranger);
    const went = await (POSTED[name] ? browser.posted(to, text) : browser.go(`${to.acs}?${text}`));
    const { who, words } = await end(login, went);
    check(name, who, wanted, words);
  }
}

// One answer opens one login, and one that nobody asked for opens none.
async function again() {
  const first = await begin();
  const text = POSTED['a signed assertion'](first.to, key);
  const went = await first.browser.posted(first.to, text);
  const twice = await first.browser.posted(first.to, text);
  check('an answer again, in its browser', twice.home ? 'let in' : NOBODY, NOBODY, twice.words);
  check('its first use', (await end(first, went)).who, 'dana');
  const other = await begin();
  for (const [what, relay] of [['the state of this login', other.to.relay], ['its own state', first.to.relay], ['no state', '']]) {
    const replayed = await other.browser.posted(other.to, text, relay);
    check(`an answer again, in another browser with ${what}`, replayed.home ? 'let in' : NOBODY, NOBODY, replayed.words);
  }
  other.child.kill();
  const unasked = await new Browser().posted({ ...first.to, relay: '' }, POSTED['a signed assertion']({ ...first.to, request: '_none' }, key));
  check('an answer that nobody asked for', unasked.home ? 'let in' : NOBODY, NOBODY, unasked.words);
}

async function logIn(issuer, user, groups, bent, browser) {
  const login = await begin(issuer, browser);
  const who = { user, groups };
  const went = await login.browser.posted(login.to, response(login.to, signed(assertion(login.to, who, bent), key)));
  return { ...(await end(login, went)), home: login.home, force: login.to.force };
}

const groups = (login) => gateway(login.home, 'whoami').stdout.split('\n').find((line) => line.startsWith('groups:')).slice(7).trim();

// A vote on nothing is refused for that only, where the login may vote.
function votes(login) {
  const said = gateway(login.home, 'approvals', 'approve', '00000000-0000-7000-8000-000000000000').stderr;
  if (said.includes('there is no request')) return 'yes';
  return said.includes('only an interactive login') ? 'no' : said;
}

async function people() {
  const metadata = await (await fetch(`${ISSUER}/broker/saml/endpoint/descriptor`)).text();
  check('the metadata for the provider', metadata.includes('entityID="portcullis-bridge"') && metadata.includes('WantAssertionsSigned="true"'), true);
  const browser = new Browser();
  const dana = await logIn(ISSUER, 'dana', ['dba', 'platform'], {}, browser);
  check('the provider is asked to let the person log in', dana.force, 'true');
  const same = await logIn(ISSUER, 'dana', ['dba'], {}, browser);
  check('and asked again when the same browser comes back', same.force, 'true');
  check('whom that logs in', same.who, 'dana', same.words);
  check('groups, of which the gateway allows some', groups(dana), 'dba');
  check('votes', votes(dana), 'yes');
  const later = await logIn(ISSUER, 'dana', ['everyone']);
  check('groups, once the provider took them away', groups(later), '');
  // The bridge does not look at when the person logged in: what a provider does with ForceAuthn is all there is.
  const stale = await logIn(ISSUER, 'dana', ['dba'], { loggedIn: -7200 });
  check('votes, of somebody who logged in two hours ago at a provider that ignores ForceAuthn', votes(stale), 'yes');
  const quiet = await logIn(QUIET, 'dana', ['dba']);
  check('whom a bridge without auth_time logs in', quiet.who, 'saml-dana');
  check('votes through a bridge without auth_time', votes(quiet), 'no');
  check('a person who is called like the reserved user', (await logIn(ISSUER, 'token', ['dba'])).who, NOBODY);
  const capital = await logIn(ISSUER, 'Dana', ['dba']);
  check('another person whose name differs in capitals', capital.who, NOBODY, capital.words);
}

// What `wantAssertionsSigned` is for: in a realm without it this bridge reads one text and checks the signature of another.
async function loose() {
  for (const [name, wanted] of [
    ['by redirect, only the query signed', 'loose-dana'],
    ['by redirect, forged under an escaped name before a signed one', 'loose-mallory'],
  ]) {
    const login = await begin(LOOSE);
    const went = await login.browser.go(`${login.to.acs}?${REDIRECTED[name](login.to, key)}`);
    const { who, words } = await end(login, went);
    check(`without wantAssertionsSigned: ${name}`, who, wanted, words);
  }
}

(async () => {
  await rows();
  await again();
  await people();
  await loose();
  console.log(wrong ? `${wrong} are not as they should be` : 'all as they should be');
  process.exit(wrong ? 1 : 0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
