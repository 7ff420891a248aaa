using System.Diagnostics;
using Ndif.Activations.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Activations.Tests;

/// <summary>A collection that is interrupted is continued, and has the same shards as one that was not.</summary>
public sealed class ResumeTests : IDisposable
{
    private static readonly LanguageModel _llm = new(Collected.ModelId);

    private readonly TempFolder _temp = new();
    private readonly CollectOptions _options = new() { BatchTokens = 256, LookaheadTexts = 40, ShardBytes = 200_000 };

    private string Folder => _temp.File("activations");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task ACancelledCollection_Continues_WithEqualShards()
    {
        string[] texts = Collected.Texts(1500);
        string whole = _temp.File("whole");
        CollectReport expected = await CollectAsync(texts, whole);

        using var stop = new CancellationTokenSource();
        var stopping = new OnProgress(_ =>
        {
            if (File.Exists(Path.Combine(Folder, "index.jsonl"))) stop.Cancel();
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _llm.CollectAsync(
            texts, [Collected.Site], Folder, _options, progress: stopping, cancellationToken: stop.Token));
        Assert.False(SafetensorsActivations.Open(Folder).IsComplete);
        int before = Collected.Checksums(Folder).Length;
        File.AppendAllText(Path.Combine(Folder, "index.jsonl"), "{\"file\":\"shard-0"); // a line that was being written
        File.WriteAllText(Path.Combine(Folder, $"shard-{before:00000}.safetensors"), "a shard that was not committed");

        CollectReport report = await CollectAsync(texts, Folder);
        Assert.Equal(Collected.Checksums(whole), Collected.Checksums(Folder));
        Assert.Equal(expected, report with { ResumedRows = 0 });
        Assert.Equal(ReadFiles(whole), ReadFiles(Folder));
        report = await CollectAsync(texts, Folder); // there is nothing left to do
        Assert.Equal(expected.Rows, report.ResumedRows);
    }

    [Fact]
    public async Task AKilledProcess_LosesAndDoublesNoRow()
    {
        string data = _temp.Write("texts.txt", string.Join('\n', Collected.Texts(6000)));
        string whole = _temp.File("whole");
        await using (ChildProcess first = Start(whole)) Assert.Equal(0, await first.WaitForExitAsync());
        string[] expected = Collected.Checksums(whole);
        Assert.True(expected.Length > 5);

        var random = new Random(5);
        int kills = 0, code = -1;
        while (code < 0)
        {
            await using ChildProcess child = Start(Folder);
            // the first kills come at a moment after a shard was begun, the later ones at any time
            int shards = Directory.Exists(Folder) ? Directory.GetFiles(Folder, "shard-*").Length : 0;
            long start = Stopwatch.GetTimestamp();
            TimeSpan moment = TimeSpan.FromMilliseconds(random.Next(0, 200));
            await Poll.UntilAsync(
                () => Task.FromResult(!child.IsAlive
                    || (Directory.Exists(Folder) && Directory.GetFiles(Folder, "shard-*").Length > shards)),
                reached => reached);
            await Task.Delay(moment, Collected.Cancel);
            if (child.IsAlive && kills < 4)
            {
                child.Kill();
                kills++;
            }
            else
            {
                code = await child.WaitForExitAsync();
                Assert.True(code == 0, child.FormatOutput());
            }
        }
        Assert.Equal(4, kills);
        Assert.Equal(expected, Collected.Checksums(Folder));
        Assert.Equal(ReadFiles(whole), ReadFiles(Folder));
        SafetensorsActivations.Open(Folder).Verify(Collected.Cancel);

        ChildProcess Start(string folder) => ChildProcess.Start("collect", BuildOutput.Dotnet, [BuildOutput.Tool, "collect", data, "--site",
            Collected.Site, "--output", folder, "--shard-size", "2MB", "--batch-tokens", "2048", "--dtype", "bfloat16"]);
    }

    [Fact]
    public async Task OtherOptionsOrData_AreRefused_AndNamed()
    {
        string[] texts = Collected.Texts(5);
        await CollectAsync(texts, Folder);
        await AssertRefusedAsync("options.batchTokens is 128, and was 256", texts, _options with { BatchTokens = 128 });
        await AssertRefusedAsync("dataset.sha256 is", texts[..4], _options);
        await AssertRefusedAsync("sites is", texts, _options, sites: "transformer.h.2.hidden");
        LanguageModel edited = _llm.Edit(() => _llm["transformer.h.0"].Hidden *= 2);
        await AssertRefusedAsync("model.edits is", texts, _options, edited);
        // neither the number of jobs nor the name of a file is a part of the content
        CollectReport report = await _llm.CollectAsync(
            texts, [Collected.Site], Folder, _options with { JobsInFlight = 7, BatchesPerJob = 3 }, cancellationToken: Collected.Cancel);
        Assert.Equal(report.Rows, report.ResumedRows);
    }

    [Fact]
    public async Task AFolderWithOtherFiles_OrInUse_IsRefused()
    {
        _temp.Write("activations/notes.txt", "mine");
        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(() => CollectAsync(Collected.Texts(3), Folder));
        Assert.Contains("has notes.txt", failure.Message, StringComparison.Ordinal);
        File.Delete(Path.Combine(Folder, "notes.txt"));
        using (new FileStream(Path.Combine(Folder, "lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            IOException inUse = await Assert.ThrowsAsync<IOException>(() => CollectAsync(Collected.Texts(3), Folder));
            Assert.StartsWith("Another process collects into", inUse.Message, StringComparison.Ordinal);
        }
        await CollectAsync(Collected.Texts(3), Folder);
    }

    [Fact]
    public async Task AMissingOrDamagedShard_IsAnError()
    {
        await CollectAsync(Collected.Texts(50), Folder);
        string shard = Directory.GetFiles(Folder, "shard-*").Order(StringComparer.Ordinal).First();
        byte[] bytes = File.ReadAllBytes(shard);
        bytes[^1] ^= 1;
        File.WriteAllBytes(shard, bytes);
        NdifException failure = Assert.Throws<NdifException>(() => SafetensorsActivations.Open(Folder).Verify(Collected.Cancel));
        Assert.Equal(ErrorCode.CorruptData, failure.Code);
        Assert.Contains(shard, failure.Message, StringComparison.Ordinal);
        File.WriteAllBytes(shard, bytes[..^1]);
        failure = Assert.Throws<NdifException>(() => SafetensorsActivations.Open(Folder));
        Assert.Contains($"has {bytes.Length - 1} bytes, not {bytes.Length}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFullDisk_IsAClearError_AndTheCollectionContinues()
    {
        string disk = _temp.File("disk"), folder = Path.Combine(disk, "activations");
        Directory.CreateDirectory(disk);
        Assert.SkipUnless(Environment.UserName == "root" && await RunAsync("mount", "-t", "tmpfs", "-o", "size=1m", "none", disk) == 0,
            "A small file system can only be mounted by root.");
        try
        {
            string[] texts = Collected.Texts(300);
            IOException full = await Assert.ThrowsAsync<IOException>(() => CollectAsync(texts, folder));
            Assert.StartsWith($"The disk of {folder} is full: shard-0000", full.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Directory.GetFiles(folder), file => file.EndsWith(".tmp", StringComparison.Ordinal));
            SafetensorsActivations.Open(folder).Verify(Collected.Cancel);
            Assert.Equal(0, await RunAsync("mount", "-o", "remount,size=64m", disk));
            CollectReport report = await CollectAsync(texts, folder);
            Assert.True(report.ResumedRows > 0);
            await CollectAsync(texts, Folder);
            Assert.Equal(Collected.Checksums(Folder), Collected.Checksums(folder));
        }
        finally
        {
            await RunAsync("umount", disk);
        }
    }

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        await process.WaitForExitAsync();
        return process.ExitCode;
    }

    /// <summary>The shards by name, with a checksum of their content.</summary>
    private static string[] ReadFiles(string folder) => [.. Directory.GetFiles(folder, "shard-*").Order(StringComparer.Ordinal)
        .Select(file => $"{Path.GetFileName(file)} {CollectionFiles.Hash(file)}")];

    private async Task AssertRefusedAsync(
        string expected, string[] texts, CollectOptions options, LanguageModel? model = null, string sites = Collected.Site)
    {
        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(
            () => (model ?? _llm).CollectAsync(texts, [sites], Folder, options, cancellationToken: Collected.Cancel));
        Assert.Equal(ErrorCode.BadArgument, failure.Code);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    private Task<CollectReport> CollectAsync(string[] texts, string folder) =>
        _llm.CollectAsync(texts, [Collected.Site], folder, _options, cancellationToken: Collected.Cancel);
}
