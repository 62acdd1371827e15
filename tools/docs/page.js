// openapi.json in Swagger UI. settings.json says whether operations can be tried here, and with which credentials.
const settings = await (await fetch("settings.json")).json();

// What operators do must be signed, which the viewer cannot.
const signedIsNotTried = {
  statePlugins: { spec: { wrapSelectors: { allowTryItOutFor: () => (state, path) => !path.startsWith("/admin/") } } },
};

const ui = SwaggerUIBundle({
  url: "openapi.json",
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
