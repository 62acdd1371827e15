// Shows openapi.json in Swagger UI. settings.json contains credentials and samples, and whether operations can be tried.
const settings = await (await fetch("settings.json")).json();
const spec = await (await fetch("openapi.json")).json();

// Leave out the further paths of operations, and operators' actions on one record: Swagger UI does not finish a page of more
// than 143 operations.
for (const [path, operations] of Object.entries(spec.paths)) {
  const repeated = Object.values(operations).every(({ operationId }) => /\.\d+$/.test(operationId));
  if (repeated || /^\/admin\/v1\/.*\}\//.test(path)) delete spec.paths[path];
}

// Replace the document's examples with samples, in parameters and bodies.
for (const operation of Object.values(spec.paths).flatMap(Object.values)) {
  const sample = settings.samples[operation.operationId];
  if (!sample) continue;
  for (const parameter of operation.parameters ?? []) {
    if (parameter.name in sample) parameter.example = sample[parameter.name];
  }
  for (const content of Object.values(operation.requestBody?.content ?? {})) {
    content.example = { ...content.example, ...sample };
    const { properties } = spec.components.schemas[content.schema.$ref.split("/").pop()];
    for (const [name, value] of Object.entries(sample)) properties[name].examples = [value];
  }
}

// Admin requests need an AWS signature, which this page cannot compute.
const signedIsNotTried = {
  statePlugins: { spec: { wrapSelectors: { allowTryItOutFor: () => (state, path) => !path.startsWith("/admin/") } } },
};

const ui = SwaggerUIBundle({
  spec,
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  validatorUrl: null,
  tryItOutEnabled: true,
  ...(settings.try ? {} : { supportedSubmitMethods: [] }),
  plugins: [signedIsNotTried],
  onComplete: () => {
    for (const [scheme, credential] of Object.entries(settings.credentials)) ui.preauthorizeApiKey(scheme, credential);
  },
});
