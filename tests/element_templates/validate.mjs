// Prints what the published validator says of the templates on standard input, as JSON.
import { readFileSync } from 'node:fs';
import { validate, validateZeebe } from '@bpmn-io/element-templates-validator';

const said = JSON.parse(readFileSync(0, 'utf8')).map((template) => {
  const check = template.$schema.includes('zeebe') ? validateZeebe : validate;
  const { valid, errors, warnings } = check(template);
  return { id: template.id, valid, problems: [...(errors ?? []), ...(warnings ?? [])].map(({ message, dataPath }) => `${dataPath}: ${message}`) };
});

console.log(JSON.stringify(said));
