using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>Names that look like paths are refused with a typed error on every call, and create no file.</summary>
public sealed class PathTraversalTests
{
    public static TheoryData<string> Names => new(
        "../../etc/passwd", "..", "/etc/passwd", "..\\..\\x", "%2e%2e%2f", "a/../../b", "file:///etc/passwd", "C:\\windows", "\u0000",
            "a\u0000.json", "~/.ssh/id_rsa", "${HOME}", "$(id)",
        "{{7*7}}", "*", "ndif:keys", "job:* x", new string('a', 5000), "\u202e");

    [Theory]
    [MemberData(nameof(Names))]
    public async Task ANameThatIsAPath_IsRefused_WhereverItComesIn(string name)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey root = await gateway.CreateKeyAsync("root", [Scopes.Run, Scopes.Admin]);
        Inference.InferenceClient client = gateway.CreateClient(root.Key.Reveal());
        var admin = new Protocol.Admin.AdminClient(gateway.CreateInvoker(root.Key.Reveal()));
        string[] before = ListFiles(gateway);
        CancellationToken cancel = TestGateway.Cancel;

        await AssertRefusedAsync(async () => await client.SubmitAsync(TestModels.Submit("echo", name), cancellationToken: cancel));
        await AssertRefusedAsync(async () => await client.SubmitAsync(TestModels.Submit("echo", model: name), cancellationToken: cancel));
        SubmitRequest revision = TestModels.Submit("echo");
        revision.Program.Model.Revision = name;
        await AssertRefusedAsync(async () => await client.SubmitAsync(revision, cancellationToken: cancel));
        SubmitRequest constant = TestModels.Submit("echo");
        constant.Program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Shape = { 1 }, Blob = new BlobRef { Id = name, Length = 1 } });
        await AssertRefusedAsync(async () => await client.SubmitAsync(constant, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await client.GetJobAsync(new GetJobRequest { JobId = name }, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await client.CancelAsync(new CancelRequest { JobId = name }, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await client.DeleteJobAsync(new DeleteJobRequest { JobId = name }, cancellationToken: cancel));
        await AssertRefusedAsync(
            async () => await client.Watch(new WatchRequest { JobId = name }, cancellationToken: cancel).ResponseStream.MoveNext(cancel));
        await AssertRefusedAsync(
            async () => await client.DescribeModelAsync(new DescribeModelRequest { Id = name }, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await client.DescribeModelAsync(
            new DescribeModelRequest { Id = TestGateway.Model, Revision = name }, cancellationToken: cancel));
        await AssertRefusedAsync(
            async () => await client.GetBlob(new GetBlobRequest { Id = name }, cancellationToken: cancel).ResponseStream.MoveNext(cancel));
        await AssertRefusedAsync(async () =>
        {
            using var put = client.PutBlob(cancellationToken: cancel);
            await put.RequestStream.WriteAsync(new BlobChunk { Id = name, Data = ByteString.CopyFrom(1) }, cancel);
            await put.RequestStream.CompleteAsync();
            await put;
        });
        Assert.Equal([name], (await client.HasBlobsAsync(new HasBlobsRequest { Ids = { name } }, cancellationToken: cancel)).Missing);
        await AssertRefusedAsync(async () => await admin.RevokeKeyAsync(new RevokeKeyRequest { Id = name }, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await admin.RequeueAsync(new RequeueRequest { JobId = name }, cancellationToken: cancel));
        await AssertRefusedAsync(
            async () => await admin.CreateKeyAsync(new CreateKeyRequest { Name = "x", Tier = name }, cancellationToken: cancel));
        await AssertRefusedAsync(
            async () => await admin.CreateKeyAsync(new CreateKeyRequest { Name = "x", Scopes = { name } }, cancellationToken: cancel));
        Assert.Empty((await admin.GetUsageAsync(new GetUsageRequest { Key = name }, cancellationToken: cancel)).Rows);

        // the name of a key is only displayed, so any text is allowed; it is stored as text in the key file
        if (name.Length > 100 || name.Any(char.IsControl)) await AssertRefusedAsync(
            async () => await admin.CreateKeyAsync(new CreateKeyRequest { Name = name }, cancellationToken: cancel));
        else Assert.Equal(name, (await admin.CreateKeyAsync(new CreateKeyRequest { Name = name }, cancellationToken: cancel)).Key.Name);

        await AssertRefusedAsync(async () => await admin.DeployAsync(new DeployRequest { Model = name }, cancellationToken: cancel));
        await AssertRefusedAsync(async () => await admin.DeployAsync(
            new DeployRequest { Model = TestGateway.Model, Revision = name }, cancellationToken: cancel));
        Assert.Equal(before, ListFiles(gateway)); // the chunk of the wrong upload is not kept
        Assert.DoesNotContain(gateway.Log.Events, line => LogCapture.GetEventId(line) == 3061); // nothing unexpected
        Assert.All(gateway.Log.Events.Select(LogCapture.GetText),
            text => Assert.True(text.Length < 3000 && !text.Contains('\0', StringComparison.Ordinal), text));
    }

    [Theory]
    [InlineData("/v1/blobs/../../etc/passwd")]
    [InlineData("/v1/blobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd")]
    [InlineData("/v1/blobs/..%2fkeys.json")]
    [InlineData("/v1/blobs/..%5ckeys.json")]
    [InlineData("/v1/blobs//etc/passwd")]
    [InlineData("/v1/blobs/%00")]
    [InlineData("/../../../../etc/passwd")]
    [InlineData("/v1/blobs/....//....//keys.json")]
    public async Task APathInAUrl_IsNotFollowed(string path)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        foreach (string method in (string[])["GET", "PUT", "HEAD"])
        {
            using var raw = new TcpClient(); // HttpClient would normalize the path
            await raw.ConnectAsync(System.Net.IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
            await raw.GetStream().WriteAsync(
                Encoding.ASCII.GetBytes(
                $"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                + "Content-Length: 1\r\nConnection: close\r\n\r\nx"), TestGateway.Cancel);
            string answer = await new StreamReader(raw.GetStream()).ReadToEndAsync(TestGateway.Cancel);
            Assert.Matches("^HTTP/1.1 (400|404|405|422) ", answer);
            Assert.DoesNotContain("root:", answer, StringComparison.Ordinal);
            Assert.DoesNotContain("\"hash\":", answer, StringComparison.Ordinal);
        }
    }

    private static string[] ListFiles(TestGateway gateway) =>
        [.. Directory.GetFiles(gateway.Folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];

    private static async Task AssertRefusedAsync(Func<Task> call)
    {
        RpcException refusal = await Assert.ThrowsAsync<RpcException>(call);
        Error error = Error.Parser.ParseFrom(refusal.Trailers.GetValueBytes(ErrorWireFormat.Trailer));
        Assert.Contains(error.Code, (ErrorCode[])
        [
            ErrorCode.BadArgument, ErrorCode.UnknownJob, ErrorCode.UnknownModel, ErrorCode.UnknownBlob, ErrorCode.CorruptData,
            ErrorCode.InvalidProgram,
        ]);
        Assert.InRange(error.Message.Length, 1, 1000);
        Assert.DoesNotContain('\0', error.Message);
    }
}
