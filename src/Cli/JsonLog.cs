using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Ndif.Cli;

/// <summary>
/// The lines of a command that its logger does not write, in the format of the logger with `--log-json` (the compact log event format of
/// Serilog), so that every line of the process is one JSON object.
/// </summary>
internal static class JsonLog
{
    public static void WriteFatal(string message) => Write(Console.Error, message, "Fatal");

    public static void Write(TextWriter to, string message, string? level = null)
    {
        using var line = new MemoryStream();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("@t", DateTime.UtcNow.ToString("o", CultureInfo.InvariantCulture));
            json.WriteString("@m", message);
            if (level is not null) json.WriteString("@l", level);
            json.WriteEndObject();
        }
        to.WriteLine(Encoding.UTF8.GetString(line.ToArray()));
    }
}
