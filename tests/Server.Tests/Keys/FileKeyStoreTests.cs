using Ndif.Protocol;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;


namespace Ndif.Server.Tests.Keys;

public sealed class FileKeyStoreTests : KeyStoreContract, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-keys-").FullName;

    private string FilePath => Path.Combine(_folder, "deeper", "keys.json");

    private protected override IKeyStore Open() => new FileKeyStore(FilePath);

    [Fact]
    public async Task File_IsForItsOwnerAlone_AndHoldsNoSecret()
    {
        CreatedKey made = await new KeyService(Open(), TimeProvider.System).CreateAsync("ada", [], cancellationToken: TestGateway.Cancel);

        if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(FilePath));
        string text = await File.ReadAllTextAsync(FilePath, TestGateway.Cancel);
        Assert.Contains(made.Record.Id, text, StringComparison.Ordinal);
        Assert.DoesNotContain(made.Key.Reveal()[^43..], text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ChangeByAnotherProcess_IsSeenAtOnce()
    {
        IKeyStore gateway = Open(), tool = Open();
        Assert.Empty(await gateway.ListAsync(TestGateway.Cancel));
        var service = new KeyService(tool, TimeProvider.System);
        CreatedKey made = await service.CreateAsync("ada", [], cancellationToken: TestGateway.Cancel);
        Assert.NotNull(await gateway.FindAsync(made.Record.Id, TestGateway.Cancel));

        await service.RevokeAsync(made.Record.Id, TestGateway.Cancel);
        Assert.NotNull((await gateway.FindAsync(made.Record.Id, TestGateway.Cancel))!.Revoked);
    }

    [Fact]
    public async Task BrokenFile_IsNamed_AndNotOverwritten()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(FilePath)!);
        await File.WriteAllTextAsync(FilePath, "[{", TestGateway.Cancel);

        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(
            () => new KeyService(Open(), TimeProvider.System).CreateAsync("ada", [], cancellationToken: TestGateway.Cancel));

        Assert.Equal(ErrorCode.CorruptData, failure.Code);
        Assert.Contains(FilePath, failure.Message, StringComparison.Ordinal);
        Assert.Equal("[{", await File.ReadAllTextAsync(FilePath, TestGateway.Cancel));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
