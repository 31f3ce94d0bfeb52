// Command provided is a function that speaks the Lambda Runtime API by itself,
// as an existing runtime does.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	if os.Getenv("FAIL_INIT") != "" {
		post(base+"init/error", `{"errorType":"Config","errorMessage":"FAIL_INIT is set","stackTrace":[]}`)
		os.Exit(1)
	}
	for {
		next, err := http.Get(base + "invocation/next")
		if err != nil {
			os.Exit(1)
		}
		event, err := io.ReadAll(next.Body)
		next.Body.Close()
		if err != nil {
			os.Exit(1)
		}
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		fmt.Println("handling", id, "as", os.Getenv("_HANDLER"))
		switch {
		case strings.Contains(string(event), "fail"):
			post(base+"invocation/"+id+"/error", `{"errorType":"errorString","errorMessage":"asked to","stackTrace":[{"path":"main.go","line":7,"label":"main"}]}`)
		case strings.Contains(string(event), "exit"):
			os.Exit(5)
		default:
			body, _ := json.Marshal(map[string]any{"statusCode": 200, "body": string(event), "headers": map[string]string{"X-Own": os.Getenv("OWN")}})
			post(base+"invocation/"+id+"/response", string(body))
		}
	}
}

func post(url, body string) {
	response, err := http.Post(url, "application/json", bytes.NewBufferString(body))
	if err != nil {
		os.Exit(1)
	}
	response.Body.Close()
}
