using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Views of published edits.</summary>
public static class EditsInfoExtensions
{
    /// <summary>Returns a copy without the blobs of the edits, as lists have it.</summary>
    public static EditsInfo WithoutBlobs(this EditsInfo edits)
    {
        EditsInfo described = edits.Clone();
        described.Program = null;
        described.Constants.Clear();
        return described;
    }
}
