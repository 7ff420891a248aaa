using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Text.Unicode;

namespace Ndif.Activations;

/// <summary>A file with a JSON object on each line, one property of which has a text or an array of token ids.</summary>
internal sealed partial class JsonLinesDataset(string path, string column) : RecordDataset(path, quote: null)
{
    internal override string Column => column;

    protected override DatasetRecord Parse(ReadOnlyMemory<byte> record, long text)
    {
        if (record.Span.Trim((byte)' ').IsEmpty) return new DatasetRecord(""); // an empty line
        bool isInvalid = !Utf8.IsValid(record.Span);
        byte[]? repaired = isInvalid ? Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(record.Span)) : null;
        try
        {
            return Read(repaired ?? record.Span, text, isInvalid);
        }
        catch (JsonException e)
        {
            throw BadRecord(text, $"is not a JSON object: {e.Message}", "A .jsonl file has one object on each line.");
        }
    }

    private DatasetRecord Read(ReadOnlySpan<byte> json, long text, bool isInvalid)
    {
        var reader = new Utf8JsonReader(json);
        reader.Read();
        if (reader.TokenType is not JsonTokenType.StartObject) throw new JsonException("it begins with something else.");
        List<string> names = [];
        DatasetRecord? found = null;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            bool isColumn = reader.ValueTextEquals(column);
            if (!isColumn && names.Count < 20) names.Add(reader.GetString()!);
            reader.Read();
            if (isColumn) found = ReadValue(ref reader, text) is var value && isInvalid ? value with { IsInvalid = true } : value;
            else reader.Skip();
        }
        while (reader.Read()) { } // what follows the object is an error
        return found ?? throw BadRecord(text, $"has no `{column}`; it has {string.Join(", ", names.Select(name => $"`{name}`"))}.",
            Errors.DidYouMean(column, names));
    }

    private DatasetRecord ReadValue(ref Utf8JsonReader reader, long text)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.Null:
                return new DatasetRecord("");
            case JsonTokenType.String:
                try
                {
                    return new DatasetRecord(reader.GetString()!);
                }
                catch (InvalidOperationException) // half of a surrogate pair
                {
                    string escaped = SurrogateEscape().Replace(Encoding.UTF8.GetString(reader.ValueSpan),
                        match => match.Groups["half"].Success ? "\\ufffd" : match.Value);
                    return new DatasetRecord(JsonElement.Parse($"\"{escaped}\"").GetString()!) { IsInvalid = true };
                }
            case JsonTokenType.StartArray:
                List<int> tokens = [];
                while (reader.Read() && reader.TokenType is JsonTokenType.Number && reader.TryGetInt32(out int id)) tokens.Add(id);
                if (reader.TokenType is JsonTokenType.EndArray) return new DatasetRecord([.. tokens]);
                break;
        }
        throw BadRecord(text, $"has a `{column}` that is neither a text nor an array of token ids.");
    }

    /// <summary>An escape sequence; in the group "half" if it is half of a surrogate pair.</summary>
    [GeneratedRegex(@"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.")]
    private static partial Regex SurrogateEscape();
}
