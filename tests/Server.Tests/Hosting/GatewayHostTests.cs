using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Google.Protobuf;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;
using Microsoft.AspNetCore.Builder;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Hosting;

public sealed class GatewayHostTests
{
    [Fact]
    public async Task Health_Serves_WithoutAKey()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var health = new Health.HealthClient(gateway.CreateInvoker(null));
        foreach (string service in (string[])["", "ndif.v1.Inference"])
        {
            HealthCheckResponse answer = await health.CheckAsync(
                new HealthCheckRequest { Service = service }, cancellationToken: TestGateway.Cancel);
            Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, answer.Status);
        }
    }

    [Fact]
    public async Task Reflection_ListsTheServices()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var call = new ServerReflection.ServerReflectionClient(gateway.CreateInvoker(null)).ServerReflectionInfo(
            cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = "" }, TestGateway.Cancel);
        Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));

        IEnumerable<string> names = call.ResponseStream.Current.ListServicesResponse.Service.Select(service => service.Name);

        Assert.Superset(new HashSet<string> { "ndif.v1.Inference", "ndif.v1.Admin", "grpc.health.v1.Health" }, names.ToHashSet());
        await call.RequestStream.CompleteAsync();
    }

    [Fact]
    public async Task GrpcWeb_AnswersOnThePlainPort_WithTypedErrorsToo()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();

        Assert.Contains("grpc-status: 0", await PostWebAsync(gateway.CreateHttpClient(key), "Submit", TestModels.Submit("echo", "web")),
            StringComparison.Ordinal);
        string events = await PostWebAsync(gateway.CreateHttpClient(key), "Watch", new WatchRequest { JobId = "web" });
        Assert.Contains("hello", events, StringComparison.Ordinal);
        Assert.Contains("grpc-status: 0", events, StringComparison.Ordinal);
        Assert.Contains("grpc-status: 5", await PostWebAsync(gateway.CreateHttpClient(key), "GetJob", new GetJobRequest { JobId = "none" }),
            StringComparison.Ordinal);
        string refused = await PostWebAsync(gateway.CreateHttpClient(), "ListJobs", new ListJobsRequest());
        Assert.Contains("grpc-status: 16", refused, StringComparison.Ordinal);
        Assert.Contains(ErrorWireFormat.Trailer, refused, StringComparison.Ordinal);
    }

    /// <summary>Returns headers and body of a gRPC-Web response. Its trailers are the last frame, or headers if it has no body.</summary>
    private static async Task<string> PostWebAsync(HttpClient http, string method, IMessage message)
    {
        byte[] bytes = message.ToByteArray(), framed = new byte[5 + bytes.Length];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), bytes.Length);
        bytes.CopyTo(framed, 5);
        using var content = new ByteArrayContent(framed) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc-web") } };
        using HttpResponseMessage response = await http.PostAsync($"/ndif.v1.Inference/{method}", content, TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("application/grpc-web", response.Content.Headers.ContentType!.MediaType);
        return $"{response.Headers}\n{await response.Content.ReadAsStringAsync(TestGateway.Cancel)}";
    }

    [Fact]
    public async Task Preflight_OfAPage_IsAnswered_ForCallsThatBringAKey()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Assert.Equal(["*"], await AllowedAsync(gateway));
        await using TestGateway open = await TestGateway.StartAsync(TestGateway.CreateOptions(anonymous: true));
        Assert.Empty(await AllowedAsync(open)); // without keys, pages of other origins are not allowed

        static async Task<IEnumerable<string>> AllowedAsync(TestGateway gateway)
        {
            using var request = new HttpRequestMessage(HttpMethod.Options, "/ndif.v1.Inference/Submit")
            {
                Headers = { { "Origin", "https://lab.example" }, { "Access-Control-Request-Method", "POST" },
                    { "Access-Control-Request-Headers", "authorization,x-grpc-web" } },
            };
            using HttpResponseMessage response = await gateway.CreateHttpClient().SendAsync(request, TestGateway.Cancel);
            return response.Headers.TryGetValues("Access-Control-Allow-Origin", out IEnumerable<string>? values) ? values : [];
        }
    }

    [Fact]
    public async Task WithACertificate_OnePortServesBoth()
    {
        string folder = Directory.CreateTempSubdirectory("ndif-tls-").FullName;
        using var rsa = RSA.Create(2048);
        using X509Certificate2 certificate = new CertificateRequest(
            "CN=localhost", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        string cert = Path.Combine(folder, "cert.pem"), key = Path.Combine(folder, "key.pem");
        await File.WriteAllTextAsync(cert, certificate.ExportCertificatePem(), TestGateway.Cancel);
        await File.WriteAllTextAsync(key, rsa.ExportPkcs8PrivateKeyPem(), TestGateway.Cancel);
        await using TestGateway gateway = await TestGateway.StartAsync(
            new GatewayOptions { GrpcPort = 0, CertificateFile = cert, CertificateKeyFile = key });

        Assert.Equal(("https", gateway.Address.Http), (gateway.Address.Grpc.Scheme, gateway.Address.Grpc));
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = (_, seen, _, _) =>
            seen!.Thumbprint == certificate.Thumbprint };
        using var channel = GrpcChannel.ForAddress(gateway.Address.Grpc, new GrpcChannelOptions { HttpHandler = handler });
        HealthCheckResponse health = await new Health.HealthClient(channel).CheckAsync(
            new HealthCheckRequest(), cancellationToken: TestGateway.Cancel);
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
        using var http = new HttpClient(handler, disposeHandler: false) { BaseAddress = gateway.Address.Http };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/status", TestGateway.Cancel)).StatusCode);
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("*")]
    [InlineData("::")]
    [InlineData("192.0.2.1")]
    public async Task Anonymous_OnAPublicAddress_RefusesToStart(string host)
    {
        await using QueueBackend backend = QueueBackend.InMemory(
            blobs: new BlobOptions { Root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName });
        OptionsException refusal = Assert.Throws<OptionsException>(() => GatewayHost.Build(
            new GatewayOptions { Host = host, AllowAnonymous = true }, backend, new FileKeyStore("none.json")));
        Assert.Contains("loopback", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("ndif keys create", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Address_IsKnownOnlyOnceStarted()
    {
        await using QueueBackend backend = QueueBackend.InMemory(
            blobs: new BlobOptions { Root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName });
        await using WebApplication gateway = GatewayHost.Build(
            TestGateway.CreateOptions(), backend, new FileKeyStore("none.json"));
        Assert.Throws<InvalidOperationException>(() => GatewayHost.GetAddress(gateway));
        await gateway.StartAsync(TestGateway.Cancel);
        Assert.NotEqual(GatewayHost.GetAddress(gateway).Grpc, GatewayHost.GetAddress(gateway).Http);
    }

    [Fact]
    public async Task JobLines_CarryTheJobId()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo", "followed"), TestGateway.Cancel);
        await GrpcAssert.ReadAllAsync(call.ResponseStream);
        await gateway.Log.WaitForAsync("ended as Completed");

        string id = (await gateway.FindJobAsync("followed"))!.Id;
        Assert.All(
            gateway.Log.Events.Where(line => LogCapture.GetText(line).StartsWith("Job ", StringComparison.Ordinal)),
            line => Assert.Equal($"\"{id}\"", line.Properties["JobId"].ToString()));
    }
}
