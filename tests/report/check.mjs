// Looks at the page of `bitlake report` in Chromium: node check.mjs CHROMIUM PAGE SCREENSHOTS
//
// The page must not ask for anything, must not be wider than the window, must have nothing serious for axe-core, and must
// show its charts where a Content-Security-Policy drops the stylesheet. Writes screenshots and a print for the eye.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import puppeteer from 'puppeteer-core';

const [chromium, page, screenshots] = process.argv.slice(2);
const html = readFileSync(page);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const problems = [];
mkdirSync(screenshots, { recursive: true });

// As Jenkins serves it.
const strict = "sandbox allow-same-origin; default-src 'none'; img-src 'self'";
const server = createServer((request, response) => {
  const policy = request.url === '/strict' ? { 'Content-Security-Policy': strict } : {};
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', ...policy });
  response.end(html);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const address = `http://127.0.0.1:${server.address().port}`;

const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox'] });

async function open(path, width, scheme) {
  const tab = await browser.newPage();
  tab.on('request', (request) => {
    const url = request.url();
    if (url !== address + path && !url.endsWith('/favicon.ico')) problems.push(`${path} requests ${url}`);
  });
  await tab.setViewport({ width, height: 900 });
  await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await tab.goto(address + path, { waitUntil: 'load' });
  return tab;
}

async function checkAccess(tab, name) {
  await tab.evaluate(axe);
  const found = await tab.evaluate(() => window.axe.run(document));
  for (const violation of found.violations) {
    const where = violation.nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ');
    const line = `${name}: ${violation.impact}: ${violation.help}: ${where}`;
    if (['serious', 'critical'].includes(violation.impact)) problems.push(line);
    else console.log(line);
  }
}

for (const width of [1280, 390]) {
  for (const scheme of ['light', 'dark']) {
    const name = `${width}-${scheme}`;
    const tab = await open('/', width, scheme);
    const widest = await tab.evaluate(() => document.documentElement.scrollWidth);
    if (widest > width) problems.push(`${name}: the page is ${widest} wide`);
    await tab.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
    await tab.evaluate(() => document.querySelectorAll('details').forEach((it) => (it.open = true)));
    await checkAccess(tab, name);
    await tab.close();
  }
}

const plain = await open('/strict', 1280, 'light');
const charts = await plain.evaluate(() =>
  [...document.querySelectorAll('svg')].map((it) => it.getBoundingClientRect().width).filter((it) => it > 0));
if (charts.length === 0) problems.push('strict: no chart is shown');
if (await plain.evaluate(() => getComputedStyle(document.body).maxWidth !== 'none')) {
  problems.push('strict: the stylesheet is not dropped, so that the check is void');
}
await plain.screenshot({ path: `${screenshots}/strict.png`, fullPage: true });

const printed = await open('/', 1280, 'light');
await printed.pdf({ path: `${screenshots}/print.pdf`, format: 'A4' });

await browser.close();
server.close();
for (const problem of problems) console.error(problem);
console.log(`${charts.length} charts, ${problems.length} problems, screenshots in ${screenshots}`);
process.exitCode = problems.length ? 1 : 0;
