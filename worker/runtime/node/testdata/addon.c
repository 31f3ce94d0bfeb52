// A native add-on with one function: greet(name). Node-API is a stable ABI, so it
// is declared here as far as it is used, and Node's headers are not needed.

#include <stdio.h>
#include <stddef.h>

typedef void *napi_env, *napi_value, *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);

int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_value_string_utf8(napi_env, napi_value, char *, size_t, size_t *);
int napi_create_string_utf8(napi_env, const char *, size_t, napi_value *);
int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);

static napi_value greet(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value name, result = NULL;
  char text[64], out[80];
  if (napi_get_cb_info(env, info, &count, &name, NULL, NULL) != 0) return NULL;
  if (napi_get_value_string_utf8(env, name, text, sizeof text, NULL) != 0) return NULL;
  int length = snprintf(out, sizeof out, "hello %s", text);
  napi_create_string_utf8(env, out, (size_t)length, &result);
  return result;
}

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  if (napi_create_function(env, "greet", (size_t)-1, greet, NULL, &function) == 0) {
    napi_set_named_property(env, exports, "greet", function);
  }
  return exports;
}
