using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Memory;


namespace Ndif.Queue.Tests;

public sealed class QueueOptionsTests
{
    [Fact]
    public void Defaults_AreValid() => Assert.NotNull(new QueueOptions().Validate());

    [Fact]
    public void WhatIsOutOfBounds_IsNamed()
    {
        var wrong = new QueueOptions { LeaseDuration = TimeSpan.Zero, MaxAttempts = 0, Prefix = "with blank" };
        BadProgramException refused = Assert.Throws<BadProgramException>(() => new InMemoryJobQueue(wrong));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        foreach (string name in new[] { nameof(QueueOptions.LeaseDuration), nameof(QueueOptions.MaxAttempts), nameof(QueueOptions.Prefix) })
            Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task InMemory_NeedsNothing()
    {
        string root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName;
        await using QueueBackend backend = QueueBackend.InMemory(blobs: new BlobOptions { Root = root });
        Assert.Null(backend.Connection);
        Assert.Equal(0, (await backend.Jobs.CountAsync(TestContext.Current.CancellationToken)).Waiting);
        Directory.Delete(root, recursive: true);
    }
}
