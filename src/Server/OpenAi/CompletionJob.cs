using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.OpenAi;

/// <summary>The job of a completion.</summary>
/// <param name="owner">The key that asked for the completion.</param>
/// <param name="grantedBlobs">Blobs of another key that the owner may read because of this job.</param>
internal sealed class CompletionJob(
    string id, string owner, IReadOnlyList<ChoiceProgress> choices, IReadOnlyList<string> grantedBlobs)
{
    public string Id => id;

    public string Owner => owner;

    public IReadOnlyList<string> GrantedBlobs => grantedBlobs;

    public bool HasEnded => choices.All(choice => choice.HasEnded);

    /// <summary>The number of new tokens of all choices.</summary>
    public int TokenCount => choices.Sum(choice => choice.TokenCount);

    /// <summary>Takes what an event has of the choices.</summary>
    public async Task OnEventAsync(Event jobEvent, IBlobStore blobs, CancellationToken cancellationToken)
    {
        switch (jobEvent.KindCase)
        {
            case Event.KindOneofCase.Token:
                choices[(int)jobEvent.Token.Invoke].OnToken(jobEvent.Token);
                break;
            case Event.KindOneofCase.Tokens:
                foreach (NewToken token in jobEvent.Tokens.Tokens) choices[(int)token.Invoke].OnToken(token);
                break;
            case Event.KindOneofCase.Value when jobEvent.Value.Data?.Tensor is { } tensor:
                TensorData value = await ReadAsync(tensor, blobs, cancellationToken);
                foreach (ChoiceProgress choice in choices) choice.OnValue(jobEvent.Value.Node, value);
                break;
            case Event.KindOneofCase.Restart:
                foreach (ChoiceProgress choice in choices) choice.OnRestart();
                break;
        }
    }

    /// <summary>The parts that are complete and were not returned before.</summary>
    public IEnumerable<ChoiceDelta> TakeReady()
    {
        foreach (ChoiceProgress choice in choices)
            while (choice.TakeNext() is { } delta) yield return delta;
    }

    private static async Task<TensorData> ReadAsync(Tensor tensor, IBlobStore blobs, CancellationToken cancellationToken)
    {
        if (!tensor.IsBlob()) return TensorData.FromProto(tensor);
        await using Stream content = await blobs.OpenAsync(tensor.Blob.Id, cancellationToken)
            ?? throw ServerErrors.UnknownBlob(tensor.Blob.Id);
        byte[] bytes = new byte[content.Length];
        await content.ReadExactlyAsync(bytes, cancellationToken);
        return new TensorData((DType)tensor.Dtype, [.. tensor.Shape], bytes);
    }
}
