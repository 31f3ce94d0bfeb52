package manual

import "testing"

// The commands of api.md print what it says.
func TestAPI(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.run(t, "docs/api.md", in.read("api.md"))
}
