using System.Security.Cryptography;
using System.Text;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>
/// The ids of jobs in the queue, in logs and in what operators see. An id that a user chose, such as <c>run-1</c>, has the owner as a
/// suffix, <c>run-1.k7f3q2aa</c>: two owners may choose the same id, and neither learns what the other one chose. An id of 32 lower-case
/// hexadecimal digits, as clients and gateways create them at random, is unique by itself and has no suffix.
/// </summary>
public static class QueueJobIds
{
    private const char Separator = '.';

    private const int RandomLength = 32, MaxLength = 128;

    /// <summary>Returns the id in the queue of a job that its owner knows by <paramref name="id"/>, or by its id in the queue.</summary>
    /// <returns>Null if the owner can have no job of this id.</returns>
    public static string? Find(string id, string owner)
    {
        string suffix = Separator + owner;
        string chosen = id.EndsWith(suffix, StringComparison.Ordinal) ? id[..^suffix.Length] : id;
        return JobIds.IsValid(chosen) ? IsRandom(chosen) ? chosen : chosen + suffix : null;
    }

    /// <summary>Returns the id by which the owner knows a job.</summary>
    public static string GetOwnersId(string queueId) =>
        queueId.IndexOf(Separator, StringComparison.Ordinal) is >= 0 and var end ? queueId[..end] : queueId;

    /// <summary>Returns whether a text can be the id of a job in the queue.</summary>
    public static bool IsValid(string? queueId) =>
        queueId is { Length: <= MaxLength } && JobIds.IsValid(GetOwnersId(queueId))
        && queueId.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or Separator);

    /// <summary>
    /// Returns the id under which a dead letter is requeued. It is derived from the old id, so that a retry creates no second job.
    /// </summary>
    public static string GetRequeueId(string deadJobId) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes($"requeue {deadJobId}")))[..RandomLength];

    private static bool IsRandom(string id) => id.Length == RandomLength && id.All(char.IsAsciiHexDigitLower);
}
