using System.Text.RegularExpressions;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Blobs;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Edits;

/// <summary>
/// Publishes edits of models under names. Their program and large constants are blobs of the owner, which count for its quota and are kept
/// as long as the edits are published:
/// 1. Check the name, and that no model of the service has it.
/// 2. Check the program as that of a job, and its form.
/// 3. Store the program, and grant the blobs to the owner for the sake of the name.
/// 4. Store the name. What it had before is released.
/// </summary>
internal sealed partial class PublishedEditsService(
    IPublishedEdits edits, IBlobStore blobs, IJobQueue jobs, BlobTransfer transfer, JobAdmissionService admission,
    ServedModelCatalog models, GatewayOptions options, TimeProvider time, ILogger<PublishedEditsService> logger)
{
    /// <summary>The largest program: each choice of a completion has a copy of its nodes.</summary>
    private const int MaxProgramBytes = 1 << 20;

    /// <summary>The most constants that are blobs: each one is in the queue with the edits.</summary>
    private const int MaxConstants = 256;

    /// <exception cref="NdifException">The name, the program or its constants were refused.</exception>
    public async Task<EditsInfo> PublishAsync(Caller caller, PublishEditsRequest request, CancellationToken cancellationToken)
    {
        // 1. The name.
        string name = request.Name;
        if (!Name().IsMatch(name)) throw ServerErrors.BadEditsName(name);
        if (options.EditsPerKey == 0) throw ServerErrors.EditsNotAllowed();
        if (await IsModelAsync(name, cancellationToken)) throw ServerErrors.EditsNameIsModel(name);

        // 2. The program.
        Program program = request.Program ?? throw ServerErrors.NoProgram();
        await admission.SubmitAsync(caller, new SubmitRequest { Program = program, DryRun = true }, cancellationToken);
        EditsProgramValidator.Validate(program);
        // only what the blobs are found by is kept of them
        BlobRef[] constants =
            [.. program.Constants.Where(DataTensors.IsBlob).DistinctBy(constant => constant.Blob.Id)
                .Select(constant => new BlobRef { Id = constant.Blob.Id, Length = constant.Blob.Length })];
        if (constants.Length > MaxConstants)
            throw ServerErrors.OverLimit(
                "constants in blobs", constants.Length, MaxConstants, "Stack tensors into one constant, and index it.");
        ByteString bytes = RemoveLines(program).ToByteString();
        if (bytes.Length > MaxProgramBytes)
            throw ServerErrors.OverLimit(
                "bytes of the program of edits", bytes.Length, MaxProgramBytes, "Pass large tensors as constants.");

        // 3. The blobs.
        BlobRef stored = await transfer.PutAsync(
            caller, () => "", (target, cancel) => target.WriteAsync(bytes.Memory, cancel).AsTask(), cancellationToken);
        var info = new EditsInfo
        {
            Name = name, Owner = caller.Id, Public = request.Public, Model = program.Model, Created = time.GetUtcNow().ToTimestamp(),
            Nodes = (uint)program.Nodes.Count, Program = stored, Constants = { constants },
        };
        info.Bytes = (ulong)GetBlobs(info).Sum(blob => (long)blob.Length);
        EditsInfo? before = await FindOwnAsync(caller.Id, name, cancellationToken);
        try
        {
            StorageLimits limits = options.GetStorageLimits(caller.Tier);
            foreach (BlobRef blob in GetBlobs(info))
            {
                await blobs.GrantAsync(blob.Id, caller.Id, GetReason(name), cancellationToken);
                await jobs.Storage.RecordUploadAsync(
                    caller.Id, blob, limits, StoredBytesCleanupService.UploadCheckInterval, cancellationToken);
            }

            // 4. The name.
            await edits.SetAsync(info, options.EditsPerKey, limits, cancellationToken);
        }
        catch
        {
            await ReleaseAsync(info, except: before);
            throw;
        }
        finally
        {
            await blobs.RevokeAsync(stored.Id, caller.Id, cancellationToken: CancellationToken.None); // the grant of an upload
        }
        if (before is not null) await ReleaseAsync(before, except: info);
        logger.EditsPublished(name, info.Model.GetName(), info.Public, caller.Id);
        return info;
    }

    /// <summary>The edits that a key may use, without their blobs.</summary>
    public Task<IReadOnlyList<EditsInfo>> ListAsync(Caller caller, CancellationToken cancellationToken) =>
        edits.ListAsync(caller.Id, cancellationToken);

    /// <summary>Returns the edits that a name means for a key, or null.</summary>
    public Task<EditsInfo?> FindAsync(Caller caller, string name, CancellationToken cancellationToken) =>
        edits.FindAsync(caller.Id, name, cancellationToken);

    /// <summary>Deletes edits of a key.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: the key has no edits of this name.</exception>
    public async Task<EditsInfo> DeleteAsync(string owner, string name, CancellationToken cancellationToken) =>
        await TryDeleteAsync(owner, name, cancellationToken) ?? throw ServerErrors.UnknownEdits(name);

    /// <summary>Deletes all edits of a key that was revoked. Another gateway may delete them at the same time.</summary>
    public async Task DeleteAllAsync(string owner, CancellationToken cancellationToken)
    {
        foreach (EditsInfo info in await edits.ListAsync(owner, cancellationToken))
            if (info.Owner == owner) await TryDeleteAsync(owner, info.Name, cancellationToken);
    }

    /// <summary>Reads the program of edits.</summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB: no gateway has renewed their blobs for longer than blobs are kept.</exception>
    public async Task<Program> ReadProgramAsync(EditsInfo info, CancellationToken cancellationToken)
    {
        await using Stream content = await blobs.OpenAsync(info.Program.Id, cancellationToken) ?? throw ServerErrors.EditsLost(info.Name);
        byte[] bytes = new byte[content.Length];
        await content.ReadExactlyAsync(bytes, cancellationToken);
        return Program.Parser.ParseFrom(bytes);
    }

    /// <summary>Extends the lifetime of the blobs of all published edits, and completes what earlier versions have published.</summary>
    public async Task RenewAsync(CancellationToken cancellationToken)
    {
        await foreach (EditsInfo info in edits.ReadAllAsync(cancellationToken))
            foreach (BlobRef blob in GetBlobs(info))
                if (!await blobs.ExistsAsync(blob.Id, cancellationToken)) logger.EditsLost(info.Name, info.Owner, blob.Id);
        await edits.ReconcileAsync(cancellationToken); // last: a full queue refuses it
    }

    private static IEnumerable<BlobRef> GetBlobs(EditsInfo info) => info.Constants.Prepend(info.Program);

    /// <summary>The reason of the grants of a name's blobs. A job id has no space, so it is none.</summary>
    private static string GetReason(string name) => $"edits {name}";

    private async Task<EditsInfo?> FindOwnAsync(string owner, string name, CancellationToken cancellationToken) =>
        await edits.FindAsync(owner, name, cancellationToken) is { } info && info.Owner == owner ? info : null;

    /// <summary>Deletes edits of a key. Returns null if it has none of this name.</summary>
    private async Task<EditsInfo?> TryDeleteAsync(string owner, string name, CancellationToken cancellationToken)
    {
        EditsInfo? info = await FindOwnAsync(owner, name, cancellationToken);
        if (info is null || !await edits.RemoveAsync(owner, name, cancellationToken)) return null;
        await ReleaseAsync(info, except: null);
        logger.EditsDeleted(name, owner);
        return info;
    }

    private async Task ReleaseAsync(EditsInfo info, EditsInfo? except)
    {
        HashSet<string> kept = except is null ? [] : [.. GetBlobs(except).Select(blob => blob.Id)];
        foreach (BlobRef blob in GetBlobs(info))
            if (!kept.Contains(blob.Id)) await blobs.RevokeAsync(blob.Id, info.Owner, GetReason(info.Name), CancellationToken.None);
    }

    private async Task<bool> IsModelAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            await models.FindAsync(new ModelRef { Id = name }, cancellationToken);
            return true;
        }
        catch (NdifException e)
        {
            return e.Code is not ErrorCode.UnknownModel;
        }
    }

    /// <summary>The program without the source lines of its author, which others would see in errors.</summary>
    private static Program RemoveLines(Program program)
    {
        Program anonymous = program.Clone();
        anonymous.Lines.Clear();
        foreach (Node node in anonymous.Nodes) node.Line = 0;
        return anonymous;
    }

    [GeneratedRegex(@"^[a-z0-9][a-z0-9._-]{0,63}\z")]
    private static partial Regex Name();
}
