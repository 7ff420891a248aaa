using System.Buffers;
using System.Text.Json;

namespace Ndif.Protocol;

/// <summary>
/// JSON as Python writes it: NaN, Infinity and -Infinity, which JSON does not have, are numbers there. An infinity is read as a number
/// beyond the range of a double; NaN, which no number stands for, as a text.
/// </summary>
/// <remarks>The projects that read files of a model compile this file. json.JSONEncoder in Python, allow_nan</remarks>
internal static class PythonJson
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="JsonException">It is not JSON.</exception>
    public static JsonDocument Parse(ReadOnlyMemory<byte> json, JsonDocumentOptions options = default) =>
        JsonDocument.Parse(ToJson(json), options);

    /// <summary>The text with values that JSON has; the text itself if it has no others.</summary>
    public static ReadOnlyMemory<byte> ToJson(ReadOnlyMemory<byte> json)
    {
        ReadOnlySpan<byte> text = json.Span;
        if (text.IndexOf("NaN"u8) < 0 && text.IndexOf("Infinity"u8) < 0) return json;
        var converted = new ArrayBufferWriter<byte>(text.Length + 64);
        bool isInString = false;
        for (int at = 0; at < text.Length; at++)
        {
            if (isInString && text[at] == (byte)'\\' && at + 1 < text.Length) converted.Write(text.Slice(at++, 1));
            else if (text[at] == (byte)'"') isInString = !isInString;
            else if (!isInString && Find(text[at..]) is { IsEmpty: false } value)
            {
                converted.Write(value[0] == (byte)'N' ? "\"NaN\""u8 : "1e999"u8); // the sign before an infinity stays
                at += value.Length - 1;
                continue;
            }
            converted.Write(text.Slice(at, 1));
        }
        return converted.WrittenMemory;
    }

    private static ReadOnlySpan<byte> Find(ReadOnlySpan<byte> text) =>
        text.StartsWith("NaN"u8) ? "NaN"u8 : text.StartsWith("Infinity"u8) ? "Infinity"u8 : [];
}
