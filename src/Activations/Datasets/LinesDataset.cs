namespace Ndif.Activations;

/// <summary>A text file with a text on each line.</summary>
internal sealed class LinesDataset(string path) : RecordDataset(path, quote: null)
{
    protected override DatasetRecord Parse(ReadOnlyMemory<byte> record, long text) => Decode(record.Span);
}
