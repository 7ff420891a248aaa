using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Keys;

public sealed class ApiKeyMiddlewareTests
{
    [Fact]
    public async Task NoKey_IsRefused_ByEveryRpc()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CallInvoker invoker = gateway.CreateInvoker(null);
        foreach (var method in JobMethods())
        {
            Error error = await GrpcAssert.FailsAsync(StatusCode.Unauthenticated, () => CallAsync(invoker, method.Service, method.Name));
            Assert.Equal(ErrorCode.Unauthenticated, error.Code);
            Assert.Contains("NDIF_API_KEY", error.Hint, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("nonsense", "not a key")]
    [InlineData("ndif_abcdefgh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "does not know")]
    public async Task WrongKey_IsRefused_WithASentence(string key, string words)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Error error = await GetErrorAsync(gateway.CreateClient(key), StatusCode.Unauthenticated);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WrongSecret_OfAKnownId_GetsTheAnswerOfAnUnknownOne()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string known = (await gateway.CreateKeyAsync()).Key.Reveal();
        string forged = known[..14] + ApiKey.New().Reveal()[14..];

        Error wrong = await GetErrorAsync(gateway.CreateClient(forged), StatusCode.Unauthenticated);
        Error unknown = await GetErrorAsync(gateway.CreateClient(ApiKey.New().Reveal()), StatusCode.Unauthenticated);

        Assert.Equal(unknown, wrong);
    }

    [Fact]
    public async Task ExpiredKey_IsRefused_OnTheDay()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = gateway.CreateClient(
            (await gateway.CreateKeyAsync(lifetime: TimeSpan.FromDays(1))).Key.Reveal());
        await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);

        gateway.Time.Advance(TimeSpan.FromDays(2));

        Assert.Contains("expired", (await GetErrorAsync(client, StatusCode.Unauthenticated)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AdminKey_MayNotRun()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Error error = await GetErrorAsync(
            gateway.CreateClient((await gateway.CreateKeyAsync(scopes: [Scopes.Admin])).Key.Reveal()), StatusCode.PermissionDenied);
        Assert.Contains("`run`", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task KeyOfOneModel_MayNotUseAnother()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = gateway.CreateClient(
            (await gateway.CreateKeyAsync(models: ["meta-llama/Llama-3.1-8B"])).Key.Reveal());

        Error error = await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel));

        Assert.Contains("Llama-3.1-8B", error.Hint, StringComparison.Ordinal);
        await GrpcAssert.FailsAsync(StatusCode.PermissionDenied, async () => await client.DescribeModelAsync(
            new DescribeModelRequest { Id = TestGateway.Model }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task Http_AsksForTheSameKey_AndAnswersInJson()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpResponseMessage missing = await gateway.CreateHttpClient().GetAsync(
            $"/v1/blobs/{new string('0', 64)}", TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Unauthorized, missing.StatusCode);
        Assert.Equal("Bearer", missing.Headers.WwwAuthenticate.Single().Scheme);
        Assert.Contains(
            "\"code\":\"UNAUTHENTICATED\"", await missing.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);

        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/blobs/{new string('0', 64)}");
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", "dXNlcjpwYXNz");
        using HttpResponseMessage basic = await gateway.CreateHttpClient().SendAsync(request, TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Unauthorized, basic.StatusCode);
    }

    [Fact]
    public async Task EveryEndpoint_SaysWhoMayCallIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        IEnumerable<RouteEndpoint> endpoints =
            gateway.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>();
        foreach (RouteEndpoint endpoint in endpoints.Where(
            e => !e.RoutePattern.RawText!.Contains("unimplemented", StringComparison.Ordinal)))
        {
            string[] open = ["/", "/status", "/metrics", "/healthz", "/livez", "/readyz", "/grpc.health.v1.Health/", "/grpc.reflection."];
            string route = endpoint.RoutePattern.RawText!;
            bool isOpen = endpoint.Metadata.Any(m => m is AllowWithoutKeyAttribute);
            bool needsScope = endpoint.Metadata.Any(m => m is RequiresScopeAttribute);
            Assert.True(isOpen ^ needsScope, $"{route} says nothing");
            Assert.Equal(isOpen, open.Any(prefix => prefix.EndsWith('/') && prefix.Length > 1 || prefix.EndsWith('.')
                ? route.StartsWith(prefix, StringComparison.Ordinal)
                : route == prefix));
        }
    }

    [Fact]
    public async Task UnauthenticatedCall_IsRefused_BeforeItsBodyIsRead()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var call = gateway.CreateClient(null).PutBlob(cancellationToken: TestGateway.Cancel); // the client sends nothing
        await GrpcAssert.FailsAsync(StatusCode.Unauthenticated, async () => await call);
    }

    [Fact]
    public async Task Anonymous_MayRun_ButNotAdminister()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(anonymous: true));
        await gateway.CreateClient(null).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);

        var admin = new Admin.AdminClient(gateway.CreateInvoker(null));
        await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await admin.ListKeysAsync(new ListKeysRequest(), cancellationToken: TestGateway.Cancel));
        await GetErrorAsync(gateway.CreateClient("ndif_wrong"), StatusCode.Unauthenticated); // a key that is sent must be valid
    }

    [Fact]
    public async Task Anonymous_IsNotForPages_ThatRebindTheirName()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(anonymous: true));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/status") { Headers = { Host = "evil.example" } };
        using HttpResponseMessage response = await gateway.CreateHttpClient().SendAsync(request, TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    [Fact]
    public async Task Logs_ContainNoKey_AtAnyLevel()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        CreatedKey root = await gateway.CreateKeyAsync("root", [Scopes.Admin, Scopes.Run]);
        var admin = new Admin.AdminClient(gateway.CreateInvoker(root.Key.Reveal()));
        CreateKeyReply made = await admin.CreateKeyAsync(new CreateKeyRequest { Name = "lab" }, cancellationToken: TestGateway.Cancel);
        Inference.InferenceClient client = gateway.CreateClient(made.Secret);
        using (var call = client.Run(cancellationToken: TestGateway.Cancel))
        {
            await call.RequestStream.WriteAsync(TestModels.Run("echo", "logged"), TestGateway.Cancel);
            await GrpcAssert.ReadAllAsync(call.ResponseStream);
        }
        await gateway.CreateHttpClient(made.Secret).GetAsync($"/v1/blobs/{new string('0', 64)}", TestGateway.Cancel);
        await admin.RevokeKeyAsync(new RevokeKeyRequest { Id = made.Key.Id }, cancellationToken: TestGateway.Cancel);
        await GetErrorAsync(client, StatusCode.Unauthenticated);
        string forged = made.Secret[..14] + ApiKey.New().Reveal()[14..];
        await GetErrorAsync(gateway.CreateClient(forged), StatusCode.Unauthenticated);

        string everything = gateway.Log.RenderAll();

        Assert.Contains(made.Key.Id, everything, StringComparison.Ordinal); // the public part may be logged
        foreach (string key in (string[])[root.Key.Reveal(), made.Secret, forged])
            Assert.DoesNotContain(key[^43..], everything, StringComparison.Ordinal);
        Assert.DoesNotContain("Bearer ndif", everything, StringComparison.Ordinal);
    }

    private static Task<Error> GetErrorAsync(Inference.InferenceClient client, StatusCode status) => GrpcAssert.FailsAsync(
        status, async () => await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel));

    private static IEnumerable<(string Service, string Name)> JobMethods() =>
        new[] { ServiceReflection.Descriptor, AdminReflection.Descriptor }.SelectMany(file => file.Services)
            .SelectMany(service => service.Methods).Select(method => (method.Service.FullName, method.Name));

    /// <summary>Calls any method as a bidirectional stream of raw bytes, which is enough for a refusal.</summary>
    private static async Task CallAsync(CallInvoker invoker, string service, string name)
    {
        Marshaller<byte[]> raw = Marshallers.Create(bytes => bytes, bytes => bytes);
        using var call = invoker.AsyncDuplexStreamingCall(
            new Method<byte[], byte[]>(MethodType.DuplexStreaming, service, name, raw, raw), null,
            new CallOptions(cancellationToken: TestGateway.Cancel));
        while (await call.ResponseStream.MoveNext(TestGateway.Cancel)) { }
    }
}
