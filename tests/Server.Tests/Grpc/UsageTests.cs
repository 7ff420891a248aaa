using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>GetUsage: for its owner, and for an administrator of any key.</summary>
public sealed class UsageTests
{
    [Fact]
    public async Task AKey_SeesWhatItUsed_AnAdministratorWhatAnyDid_AndNobodyElseAnything()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        CreatedKey ada = await gateway.CreateKeyAsync("ada"), bob = await gateway.CreateKeyAsync(
            "bob"), root = await gateway.CreateKeyAsync("root", [Scopes.Run, Scopes.Admin]);
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal());
        foreach (string role in (string[])["echo", "echo", "fail"])
        {
            SubmitReply reply = await client.SubmitAsync(TestModels.Submit(role), cancellationToken: TestGateway.Cancel);
            await gateway.WaitForEndAsync(reply.Job.Id);
        }
        await client.SubmitAsync(TestModels.Submit("hang"), cancellationToken: TestGateway.Cancel); // it runs, so it is not counted yet

        UsageRow own = Assert.Single((await client.GetUsageAsync(new GetUsageRequest(), cancellationToken: TestGateway.Cancel)).Rows);
        Assert.Equal((ada.Record.Id, TestGateway.Model, 3ul, 2ul, 1ul), (own.Key, own.Model, own.Jobs, own.Completed, own.Failed));
        Assert.Single(
            (await client.GetUsageAsync(new GetUsageRequest { Key = ada.Record.Id }, cancellationToken: TestGateway.Cancel)).Rows);

        Inference.InferenceClient other = gateway.CreateClient(bob.Key.Reveal());
        Assert.Empty((await other.GetUsageAsync(new GetUsageRequest(), cancellationToken: TestGateway.Cancel)).Rows);
        await GrpcAssert.FailsAsync(StatusCode.PermissionDenied,
            async () => await other.GetUsageAsync(new GetUsageRequest { Key = ada.Record.Id }, cancellationToken: TestGateway.Cancel));
        var notAdmin = new Protocol.Admin.AdminClient(gateway.CreateInvoker(bob.Key.Reveal()));
        await GrpcAssert.FailsAsync(StatusCode.PermissionDenied,
            async () => await notAdmin.GetUsageAsync(new GetUsageRequest { Key = ada.Record.Id }, cancellationToken: TestGateway.Cancel));

        var admin = new Protocol.Admin.AdminClient(gateway.CreateInvoker(root.Key.Reveal()));
        Assert.Equal(own, Assert.Single(
            (await admin.GetUsageAsync(new GetUsageRequest { Key = ada.Record.Id }, cancellationToken: TestGateway.Cancel)).Rows));
        Assert.Equal(own, Assert.Single((await admin.GetUsageAsync(new GetUsageRequest(), cancellationToken: TestGateway.Cancel)).Rows));
        Assert.Empty(
            (await admin.GetUsageAsync(new GetUsageRequest { Key = "* or anything" }, cancellationToken: TestGateway.Cancel)).Rows);
    }

    [Theory]
    [InlineData("yesterday")]
    [InlineData("2026-13-01")]
    [InlineData("2026-11-23T00:00:00Z")]
    public async Task WhatIsNoDay_IsRefused(string day)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await GrpcAssert.FailsAsync(StatusCode.InvalidArgument,
            async () => await client.GetUsageAsync(new GetUsageRequest { Since = day }, cancellationToken: TestGateway.Cancel));
        await GrpcAssert.FailsAsync(StatusCode.InvalidArgument,
            async () => await client.GetUsageAsync(new GetUsageRequest { Until = day }, cancellationToken: TestGateway.Cancel));
    }
}
