using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Engine.Kernels;

/// <summary>From libtorch's messages to errors that name the operation and its shapes; the C++ stack stays behind.</summary>
internal static partial class NativeErrors
{
    public static bool IsOurs(Exception exception) => exception is NdifException or { InnerException: NdifException };

    public static Exception Translate(Exception exception, OpSchema schema, object?[] bound)
    {
        string message = FirstLine(exception.Message);
        string tensors = Safely(() => Describe.Tensors(schema, bound));
        string where = $"in {schema.Name}({tensors})";
        if (exception is OutOfMemoryException || Memory().IsMatch(message))
            return Errors.Throwable(ErrorCode.OutOfMemory, $"There is not enough memory: {message}, {where}");
        if (message.Contains("'Meta' backend", StringComparison.Ordinal) || message.Contains("meta tensor", StringComparison.OrdinalIgnoreCase))
            return Errors.Throwable(ErrorCode.Unsupported, $"A scan has no rule for the shape of {schema.Name}({tensors}).", "Run the trace, or leave this part out of the scan.");
        if (Bounds().Match(message) is { Success: true } bounds)
            return Errors.Throwable(ErrorCode.IndexOutOfRange, bounds.Value, where);
        if (Select().Match(message) is { Success: true } select)
        {
            long[] sizes = [.. select.Groups["sizes"].Value.Split(',').Select(s => long.Parse(s, System.Globalization.CultureInfo.InvariantCulture))];
            int dim = int.Parse(select.Groups["dim"].Value, System.Globalization.CultureInfo.InvariantCulture);
            return Errors.Throwable(ErrorCode.IndexOutOfRange,
                $"index {select.Groups["index"].Value} is out of bounds for dimension {dim} with size {sizes[dim]}", where);
        }
        if (Index().IsMatch(message)) return Errors.Throwable(ErrorCode.IndexOutOfRange, $"{message}, {where}");
        if (Shape().IsMatch(message)) return Errors.Throwable(ErrorCode.ShapeMismatch, $"{message}, {where}");
        return Errors.Throwable(ErrorCode.OpFailed, exception is ExternalException or ArgumentException or InvalidOperationException or NotSupportedException
            ? $"{message}, {where}"
            : $"{schema.Name} failed: {exception.GetType().Name}: {message}, {where}");
    }

    private static string FirstLine(string message)
    {
        int end = message.IndexOf('\n');
        return (end < 0 ? message : message[..end]).TrimEnd(' ', '.', '\r', ':');
    }

    /// <summary>A description must not hide the error it describes.</summary>
    private static string Safely(Func<string> describe)
    {
        try
        {
            return describe();
        }
        catch (Exception)
        {
            return "";
        }
    }

    [GeneratedRegex("index -?\\d+ is out of bounds for dimension \\d+ with size \\d+")]
    private static partial Regex Bounds();

    [GeneratedRegex("index (?<index>-?\\d+) out of range for tensor of size \\[(?<sizes>[\\d, ]+)\\] at dimension (?<dim>\\d+)")]
    private static partial Regex Select();

    [GeneratedRegex("out of range|out of bounds|too many indices|INDICES element is out of DATA", RegexOptions.IgnoreCase)]
    private static partial Regex Index();

    [GeneratedRegex("\\bsizes?\\b|shape|broadcast|dimension|\\bdims?\\b|[1-3]-?D\\b|square matri|expected a matrix|equal size|inconsistent tensor", RegexOptions.IgnoreCase)]
    private static partial Regex Shape();

    [GeneratedRegex("allocate memory|out of memory|not enough memory", RegexOptions.IgnoreCase)]
    private static partial Regex Memory();
}
