package compat

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdaurl"
	echoadapter "github.com/awslabs/aws-lambda-go-api-proxy/echo"
	ginadapter "github.com/awslabs/aws-lambda-go-api-proxy/gin"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
	"github.com/gin-gonic/gin"
	echov4 "github.com/labstack/echo/v4"
)

func lambdaRows() []row {
	runtimeModule, proxyModule := "github.com/aws/aws-lambda-go@v1.55.1", "github.com/awslabs/aws-lambda-go-api-proxy@v0.16.2"
	both := []string{runtimeModule, proxyModule}
	start := func(handler func(http.Handler) any) func(http.Handler) error {
		return func(h http.Handler) error { lambda.Start(handler(h)); return nil }
	}
	newEcho := func(h http.Handler) *echov4.Echo {
		e := echov4.New()
		e.Logger.SetOutput(io.Discard)
		e.POST(path, echov4.WrapHandler(h))
		return e
	}
	ended := difference{why: "the runtime's only goroutine is gone: Lambda ends the process at its timeout", ends: true}
	goexit := func() map[string]difference { return map[string]difference{"Goexit": ended} }
	all := []row{
		{
			name: "Lambda, REST API v1", modules: both, event: restEvent,
			differs:  goexit(),
			function: start(func(h http.Handler) any { return httpadapter.New(h).ProxyWithContext }),
		},
		{
			name: "Lambda, HTTP API v2", modules: both, event: httpAPIEvent(false),
			differs:  goexit(),
			function: start(func(h http.Handler) any { return httpadapter.NewV2(h).ProxyWithContext }),
		},
		{
			name: "Lambda, function URL", modules: both, event: httpAPIEvent(true),
			differs:  goexit(),
			function: start(func(h http.Handler) any { return httpadapter.NewV2(h).ProxyWithContext }),
		},
		{
			name: "Lambda, ALB with multi-value headers", modules: both, event: albEvent(true),
			differs:  goexit(),
			function: start(func(h http.Handler) any { return httpadapter.NewALB(h).ProxyWithContext }),
		},
		{
			name: "Lambda, ALB", modules: both, event: albEvent(false),
			differs: with(goexit(), "header in two lines", difference{
				why:  "a load balancer hands on the last line of a field only, unless the target group has multi-value headers",
				wire: response{status: http.StatusUnauthorized}, ours: http.StatusUnauthorized, handled: -1,
			}),
			function: start(func(h http.Handler) any { return httpadapter.NewALB(h).ProxyWithContext }),
		},
		{
			name: "Lambda, HTTP API v2, echo v4", modules: append(both, "github.com/labstack/echo/v4@v4.16.4"), event: httpAPIEvent(false),
			differs:  goexit(),
			function: start(func(h http.Handler) any { return echoadapter.NewV2(newEcho(h)).ProxyWithContext }),
		},
		{
			name: "Lambda, ALB, echo v4", modules: append(both, "github.com/labstack/echo/v4@v4.16.4"), event: albEvent(true),
			differs:  goexit(),
			function: start(func(h http.Handler) any { return echoadapter.NewALB(newEcho(h)).ProxyWithContext }),
		},
		{
			name: "Lambda, HTTP API v2, gin", modules: append(both, "github.com/gin-gonic/gin@v1.12.0"), event: httpAPIEvent(false),
			differs: goexit(),
			function: start(func(h http.Handler) any {
				engine := gin.New()
				engine.POST(path, gin.WrapH(h))
				return ginadapter.NewV2(engine).ProxyWithContext
			}),
		},
		{
			name: "Lambda, function URL, lambdaurl", modules: []string{runtimeModule}, event: httpAPIEvent(true),
			function: func(h http.Handler) error { lambdaurl.Start(h); return nil },
		},
	}
	for i := range all {
		all[i].deadline = contextTimeout
	}
	return all
}

// restEvent is what API Gateway sends for a REST API: names as sent, each value in
// multiValueHeaders, and the last one in headers.
func restEvent(r request) any {
	e := events.APIGatewayProxyRequest{
		HTTPMethod: http.MethodPost, Path: path, Resource: path, Body: r.body,
		Headers: map[string]string{"Host": "compat.test"}, MultiValueHeaders: map[string][]string{"Host": {"compat.test"}},
	}
	for _, f := range r.fields {
		e.Headers[f.name] = f.value
		e.MultiValueHeaders[f.name] = append(e.MultiValueHeaders[f.name], f.value)
	}
	return e
}

// httpAPIEvent is what an HTTP API (payload 2.0) or a function URL sends: names in lower case,
// values joined by commas, the body in base64 where it is not known to be text.
func httpAPIEvent(inBase64 bool) func(request) any {
	return func(r request) any {
		e := events.APIGatewayV2HTTPRequest{
			Version: "2.0", RouteKey: "$default", RawPath: path, Body: r.body, IsBase64Encoded: inBase64,
			Headers: map[string]string{"host": "compat.test"},
			RequestContext: events.APIGatewayV2HTTPRequestContext{
				DomainName: "compat.test", Stage: "$default",
				HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
					Method: http.MethodPost, Path: path, Protocol: "HTTP/1.1", SourceIP: "192.0.2.1",
				},
			},
		}
		if inBase64 {
			e.Body = base64.StdEncoding.EncodeToString([]byte(r.body))
		}
		for _, f := range r.fields {
			name := strings.ToLower(f.name)
			if before, ok := e.Headers[name]; ok {
				e.Headers[name] = before + "," + f.value
			} else {
				e.Headers[name] = f.value
			}
		}
		return e
	}
}

// albEvent is what a load balancer sends: names in lower case, each value in
// multiValueHeaders where the target group says so, otherwise the last one in headers.
func albEvent(multiValue bool) func(request) any {
	return func(r request) any {
		e := events.ALBTargetGroupRequest{HTTPMethod: http.MethodPost, Path: path, Body: r.body}
		e.RequestContext.ELB.TargetGroupArn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/compat/0"
		if multiValue {
			e.MultiValueHeaders = map[string][]string{"host": {"compat.test"}}
		} else {
			e.Headers = map[string]string{"host": "compat.test"}
		}
		for _, f := range r.fields {
			name := strings.ToLower(f.name)
			if multiValue {
				e.MultiValueHeaders[name] = append(e.MultiValueHeaders[name], f.value)
			} else {
				e.Headers[name] = f.value
			}
		}
		return e
	}
}
