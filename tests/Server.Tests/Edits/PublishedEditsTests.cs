using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Queue;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Edits;

/// <summary>What published edits store in the queue. That completions of them are edited is tested by EndToEnd.Tests.</summary>
public sealed class PublishedEditsTests
{
    [Fact]
    public async Task OfAConstant_OnlyWhatItIsFoundByIsKept_AndALongChecksumIsRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey key = await gateway.CreateKeyAsync();
        Inference.InferenceClient client = gateway.CreateClient(key.Key.Reveal());
        BlobRef blob = await UploadAsync(gateway.CreateHttpClient(key.Key.Reveal()), "constant");

        BlobRef large = new(blob) { Checksum = ByteString.CopyFrom(new byte[950_000]) };
        foreach (Task call in (Task[])[
            PublishAsync(client, "large", large),
            client.SubmitAsync(With(TestModels.Submit("echo"), large), cancellationToken: TestGateway.Cancel).ResponseAsync])
        {
            Error refused = await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => call);
            Assert.Equal(ErrorCode.InvalidProgram, refused.Code);
            Assert.Contains("Constant 0 has a checksum of 950000 bytes", refused.Message, StringComparison.Ordinal);
        }

        await PublishAsync(client, "small", new BlobRef(blob) { Checksum = ByteString.CopyFrom(new byte[16]) });
        EditsInfo? kept = await gateway.Backend.Edits.FindAsync(key.Record.Id, "small", TestGateway.Cancel);
        Assert.Equal([blob], kept!.Constants);
    }

    [Fact]
    public async Task Edits_HaveAtMost256ConstantsInBlobs()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey key = await gateway.CreateKeyAsync();
        Inference.InferenceClient client = gateway.CreateClient(key.Key.Reveal());
        HttpClient http = gateway.CreateHttpClient(key.Key.Reveal());
        List<BlobRef> blobs = [];
        for (int i = 0; i < 257; i++) blobs.Add(await UploadAsync(http, $"constant {i}"));
        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, () => PublishAsync(client, "many", [.. blobs]));
        Assert.Equal(ErrorCode.LimitExceeded, refused.Code);
        Assert.Contains("257 constants in blobs", refused.Message, StringComparison.Ordinal);
        await PublishAsync(client, "many", [.. blobs.Skip(1), blobs[1]]); // the same one twice counts once
    }

    [Fact]
    public async Task Edits_CountForTheQueueBytesOfTheirKey()
    {
        var options = new GatewayOptions { GrpcPort = 0, HttpPort = 0, QueueBytes = 4000 };
        await using TestGateway gateway = await TestGateway.StartAsync(options);
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        int published = 0;
        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, async () =>
        {
            for (; published < 20; published++) await PublishAsync(client, $"n{published}");
        });
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);
        Assert.InRange(published, 1, 5);
        StorageUse use = (await client.GetUsageAsync(new GetUsageRequest(), cancellationToken: TestGateway.Cancel)).Storage;
        Assert.InRange(use.QueueBytes, 1000ul, 4000ul);
        await client.DeleteEditsAsync(new DeleteEditsRequest { Name = "n0" }, cancellationToken: TestGateway.Cancel);
        await PublishAsync(client, $"n{published}");
    }

    /// <summary>The key was valid when the call began, and its body ends after the revocation.</summary>
    [Fact]
    public async Task EditsAndUploadsOfAKeyThatWasRevokedMeanwhile_AreRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey key = await gateway.CreateKeyAsync();
        Inference.InferenceClient client = gateway.CreateClient(key.Key.Reveal());
        HttpClient http = gateway.CreateHttpClient(key.Key.Reveal());
        await PublishAsync(client, "before");
        await gateway.Backend.Jobs.CloseOwnerAsync(key.Record.Id, RevokedKeyCleanupService.Reason, TestGateway.Cancel);

        Error refused = await GrpcAssert.FailsAsync(StatusCode.Unauthenticated, () => PublishAsync(client, "late"));
        Assert.Contains("was revoked", refused.Message, StringComparison.Ordinal);
        Assert.Null(await gateway.Backend.Edits.FindAsync(key.Record.Id, "late", TestGateway.Cancel));
        byte[] content = Encoding.UTF8.GetBytes("late");
        string id = Convert.ToHexStringLower(SHA256.HashData(content));
        using HttpResponseMessage upload = await http.PutAsync($"/v1/blobs/{id}", new ByteArrayContent(content), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Unauthorized, upload.StatusCode);
        Assert.False(await gateway.Backend.Blobs.CanReadAsync(id, key.Record.Id, TestGateway.Cancel));
    }

    [Fact]
    public async Task RevokedKeys_LoseTheirEdits_AlthoughSomeAreGoneAlready_OrThoseOfAnotherKeyCannotBeRead()
    {
        UnreliableEdits unreliable = null!;
        await using TestGateway gateway = await TestGateway.StartAsync(configure: backend =>
        {
            IPublishedEdits edits = UnreliableEdits.Wrap(backend.Edits);
            unreliable = (UnreliableEdits)edits;
            return backend with { Edits = edits };
        });
        CreatedKey first = await gateway.CreateKeyAsync(), second = await gateway.CreateKeyAsync(); // they are closed in this order
        await PublishAsync(gateway.CreateClient(first.Key.Reveal()), "c");
        foreach (string name in (string[])["a", "b"]) await PublishAsync(gateway.CreateClient(second.Key.Reveal()), name);
        (unreliable.FailingOwner, unreliable.DeletedElsewhere) = (first.Record.Id, "a");
        foreach (CreatedKey key in (CreatedKey[])[first, second])
            await gateway.Keys.RevokeAsync(key.Record.Id, TestGateway.Cancel); // in the store
        await WaitUntilGoneAsync(second, "b");
        Assert.NotNull(await gateway.Backend.Edits.FindAsync(first.Record.Id, "c", TestGateway.Cancel));
        unreliable.FailingOwner = null;
        await WaitUntilGoneAsync(first, "c");

        Task WaitUntilGoneAsync(CreatedKey key, string name) => Poll.UntilAsync(
            () => gateway.Backend.Edits.FindAsync(key.Record.Id, name, TestGateway.Cancel), edits => edits is null);
    }

    [Fact]
    public async Task ListsOfModels_OfOneKey_AreReadOneAtATime()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey key = await gateway.CreateKeyAsync(), other = await gateway.CreateKeyAsync("bob");
        await PublishAsync(gateway.CreateClient(key.Key.Reveal()), "mine");
        HttpClient http = gateway.CreateHttpClient(key.Key.Reveal());
        var limiter = gateway.App.Services.GetRequiredService<DecodingLimiter>();
        await limiter.TakeTurnAsync(key.Record.Id, TestGateway.Cancel); // as a request of this key that reads a list
        Task<string> list = ListAsync(http), one = http.GetStringAsync(new Uri("v1/models/mine", UriKind.Relative), TestGateway.Cancel);
        Assert.DoesNotContain("mine", await ListAsync(gateway.CreateHttpClient(other.Key.Reveal())), StringComparison.Ordinal);
        await Task.Delay(300, TestGateway.Cancel);
        Assert.False(list.IsCompleted || one.IsCompleted);
        limiter.LeaveTurn(key.Record.Id);
        Assert.Contains("\"mine\"", await list, StringComparison.Ordinal);
        Assert.Contains("\"mine\"", await one, StringComparison.Ordinal);

        static Task<string> ListAsync(HttpClient http) => http.GetStringAsync(new Uri("v1/models", UriKind.Relative), TestGateway.Cancel);
    }

    private static Task<EditsInfo> PublishAsync(Inference.InferenceClient client, string name, params BlobRef[] constants) =>
        client.PublishEditsAsync(
            new PublishEditsRequest { Name = name, Program = With(NewEdits(), constants).Program }, cancellationToken: TestGateway.Cancel)
            .ResponseAsync;

    /// <summary>The program of edits that do nothing: a generation with one prompt, and an invoke beside it.</summary>
    private static SubmitRequest NewEdits()
    {
        SubmitRequest request = TestModels.Submit("edits");
        Trace trace = request.Program.Nodes[0].Trace;
        (trace.Mode, trace.Generation) = (Mode.Generate, new Generation { MaxNewTokens = 1 });
        trace.Invokes.Add(new Invoke { Beside = 0, Region = 3 });
        request.Program.Regions.Add(new Region());
        return request;
    }

    private static SubmitRequest With(SubmitRequest request, params BlobRef[] constants)
    {
        foreach (BlobRef blob in constants)
            request.Program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Shape = { (long)blob.Length }, Blob = blob });
        return request;
    }

    private static async Task<BlobRef> UploadAsync(HttpClient http, string text)
    {
        byte[] content = Encoding.UTF8.GetBytes(text);
        string id = Convert.ToHexStringLower(SHA256.HashData(content));
        using HttpResponseMessage response = await http.PutAsync(
            string.Create(CultureInfo.InvariantCulture, $"/v1/blobs/{id}"), new ByteArrayContent(content), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        return new BlobRef { Id = id, Length = (ulong)content.Length };
    }
}
