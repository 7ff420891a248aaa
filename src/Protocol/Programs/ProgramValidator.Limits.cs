using System.Globalization;
using static Ndif.ErrorText;

namespace Ndif.Protocol.Programs;

/// <summary>
/// The limits on the tables of a program. Every entry of them is referred to by a node, so none needs more entries than there may be nodes.
/// What nothing refers to costs memory as well: in the gateway, in the queue and in the worker.
/// </summary>
public sealed partial class ProgramValidator
{
    private const int MaxClientLength = 1024;

    private void ValidateFormat()
    {
        if (_program.Version != ProgramFormat.Version)
            throw InvalidProgram(
                $"The program has format version {_program.Version}; this side reads version {ProgramFormat.Version}.",
                "Update the older of client and service.");
        if (_program.RequiredFeatures.FirstOrDefault(f => !ProgramFormat.Features.Contains(f)) is { } feature)
            throw Unsupported(
                $"The program needs the feature `{Truncate(feature)}`, which this service does not have.",
                $"It has {string.Join(", ", ProgramFormat.Features)}. Update the service, or use an older client.");
    }

    private void ValidateTables()
    {
        ValidateCount(_program.RequiredFeatures.Count, ProgramFormat.Features.Count, "required features", "");
        if (_program.Client.Length > MaxClientLength)
            throw OverLimit("characters in the name of its client", _program.Client.Length, MaxClientLength, "");
        if (_limits.Nodes == 0) return; // no limit
        ValidateCount(_program.Nodes.Count, _limits.Nodes, "nodes", "Split it, or use a recorded loop instead of an unrolled one.");
        ValidateCount(_program.Regions.Count, _limits.Nodes + 1L, "regions", "Each loop and branch needs one, and the program itself.");
        ValidateCount(_program.Regions.Sum(region => (long)region.Nodes.Count + region.Parameters.Count), _limits.Nodes,
            "nodes in its regions", "A node is in one region.");
        ValidateCount(_program.Lines.Count, _limits.Nodes, "source lines", "Leave out those that no node refers to.");
        ValidateCount(_program.Constants.Count, _limits.Nodes, "constants", "Stack small tensors into one constant, and index it.");
    }

    private static void ValidateCount(long count, long limit, string what, string hint)
    {
        if (count > limit) throw OverLimit(what, count, limit, hint);
    }

    private static Exception OverLimit(string what, System.Int128 amount, long limit, string hint) => CreateException(
        ErrorCode.LimitExceeded, $"The program has {FormatNumber(amount)} {what}; at most {FormatNumber(limit)} are allowed.", hint);

    private static string FormatNumber(System.Int128 number) => number.ToString("N0", CultureInfo.InvariantCulture);
}
